"""Size and quality of the trained model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Quality on one split: at the crossing, at the end of a run that missed, or as it was served.

    Fractions lie in 0 to 1; loss is the mean cross-entropy in nats per sample. A quality that is
    not a finite number is None.
    """

    at: Literal["crossing", "end", "served"]
    loss: float | None
    accuracy: float | None
    macro_f1: float | None
    worst_class_recall: float | None
    expected_calibration_error: float | None
    num_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """Size of the trained model; FLOPs are of one forward pass of one sample."""

    name: str
    num_parameters: int | None = None
    size_bytes: int | None = None
    flops_per_sample: int | None = None
    flops_uncounted_ops: list[str] = field(default_factory=list)
