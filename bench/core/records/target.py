"""The target of a training, and the cost of reaching it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TargetMode = Literal["max", "min"]
TargetRule = Literal["first", "consecutive", "final"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """The target, whether and at what cost it was reached; censored_at_* when it was not."""

    metric: str
    value: float
    mode: TargetMode
    rule: TargetRule
    consecutive: int
    reached: bool
    best_value: float | None = None  # over all evaluations: how near a run that missed came
    time_to_target_s: float | None = None
    last_miss_s: float | None = None
    train_time_to_target_s: float | None = None
    energy_to_target_j: float | None = None
    energy_to_target_error_frac: float | None = None
    samples_to_target: int | None = None
    steps_to_target: int | None = None
    epochs_to_target: float | None = None
    cost_to_target_usd: float | None = None
    emissions_to_target_gco2e: float | None = None
    censored_at_s: float | None = None
    censored_at_j: float | None = None
    # The hardware factor: time_per_sample_s * samples_to_target == time_to_target_s. Known for a
    # run that missed too, over all its samples.
    time_per_sample_s: float | None = None
    energy_per_sample_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderRung:
    """Time, joules and samples at the first evaluation that met this threshold."""

    value: float
    reached: bool
    time_s: float | None = None
    energy_j: float | None = None
    samples: int | None = None
