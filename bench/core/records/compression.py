"""What compressing a model changed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """Size, accuracy and latency of the compressed model against the same uncompressed.

    Attributes:
        method: How the model was compressed.
        size_bytes: Size of the compressed model.
        baseline_size_bytes: Size of the uncompressed one, for the same runtime.
        accuracy_change: Change in accuracy served, as a fraction of the test split.
        latency_ratio: Latency compressed / uncompressed, one input at a time, both in one process
            in turns (AB, BA, ...): median over rounds.
        latency_ratio_low: Lower end of its 95% bootstrap interval over rounds, which covers 0.94
            with 6 to 12 rounds and less with fewer; see `compression.compare_rounds`.
        latency_ratio_high: Upper end.
        num_rounds: Rounds that were compared.
    """

    method: str
    size_bytes: int
    baseline_size_bytes: int
    accuracy_change: float | None = None
    latency_ratio: float | None = None
    latency_ratio_low: float | None = None
    latency_ratio_high: float | None = None
    num_rounds: int | None = None
