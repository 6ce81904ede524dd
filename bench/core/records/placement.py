"""Where a model was served."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the model was served, and with what that place was made up.

    network says what delayed the requests; memory_limit what limited the server's memory, or why
    nothing did.
    """

    name: str
    round_trip_ms: float = 0.0
    jitter_ms: float = 0.0
    bandwidth_mbit_per_s: float | None = None
    network: str | None = None
    num_threads: int | None = None
    memory_limit_bytes: int | None = None
    memory_limit: str | None = None
