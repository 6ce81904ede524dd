"""What compression changed in a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """Size, accuracy and latency of a compressed model, compared with the uncompressed one.

    Attributes:
        method: How the model was compressed.
        size_bytes: Size of the compressed model.
        baseline_size_bytes: Size of the uncompressed model for the same runtime.
        accuracy_change: Change of the served accuracy, as a fraction of the test split; None for a
            task without accuracy.
        quality_metric: Metric of the training's target, if it is a quality of the served model.
        quality_change: Change of that metric, in its unit.
        latency_ratio: Compressed / uncompressed latency, one input at a time: the median over
            rounds in which one process runs both in turns (AB, BA, ...).
        latency_ratio_low: Lower end of the 95% bootstrap interval of the ratio over rounds. It
            covers 0.94 with 6 to 12 rounds, and less with fewer; see `compression.compare_rounds`.
        latency_ratio_high: Upper end of that interval.
        num_rounds: Rounds that were compared.
    """

    method: str
    size_bytes: int
    baseline_size_bytes: int
    accuracy_change: float | None = None
    quality_metric: str | None = None
    quality_change: float | None = None
    latency_ratio: float | None = None
    latency_ratio_low: float | None = None
    latency_ratio_high: float | None = None
    num_rounds: int | None = None
