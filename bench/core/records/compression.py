"""What compressing a model changed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """What compressing the model did to size, accuracy and latency, against the same uncompressed.

    latency_ratio is compressed over uncompressed, one input at a time, measured in turns in one
    process; low and high are its 95% interval over rounds. accuracy_change is in fractions of the
    test split.
    """

    method: str
    size_bytes: int
    baseline_size_bytes: int
    accuracy_change: float | None = None
    latency_ratio: float | None = None
    latency_ratio_low: float | None = None
    latency_ratio_high: float | None = None
    num_rounds: int | None = None
