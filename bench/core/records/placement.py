"""Where a model was served."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the model was served, and how that place was simulated.

    Attributes:
        name: Name of the placement.
        round_trip_ms: Mean round trip by which requests are delayed.
        jitter_ms: Standard deviation of the round trip.
        bandwidth_mbit_per_s: Bandwidth of the network. None for no limit.
        network: What simulated the network.
        num_threads: Threads of the model, as in `serving.num_threads`. None if neither backend nor
            placement sets them.
        memory_limit_bytes: Memory that the server may use, from the configuration. None for no
            limit.
        memory_limit: What limited the server's memory, or why nothing did.
    """

    name: str
    round_trip_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_mbit_per_s: float | None = None
    network: str | None = None
    num_threads: int | None = None
    memory_limit_bytes: int | None = None
    memory_limit: str | None = None
