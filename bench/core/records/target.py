"""The target of a training, and the cost of reaching it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TargetMode = Literal["max", "min"]
TargetRule = Literal["first", "consecutive", "final"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetResult:
    """The target, and the cost of reaching it or, if the run missed, what it used.

    Attributes:
        metric: Name of the quality that must meet the threshold, from the configuration.
        value: Threshold, from the configuration.
        mode: `max` if more is better, else `min`.
        rule: `first`, `consecutive` or `final`, from the configuration.
        consecutive: Number of evaluations in a row that must meet the threshold, for `consecutive`.
        reached: Whether the rule was met within the budget.
        best_value: Best value of the metric over all evaluations, by `mode`. It shows how near a
            run that missed came. None in older records, and if no value was a number.
        time_to_target_s: TTA: clock reading at the end of the evaluation that met the rule;
            includes that evaluation.
        last_miss_s: Clock reading at the last evaluation before it that missed. The true crossing
            lies in (`last_miss_s`, `time_to_target_s`]. None if the first evaluation hit (the
            crossing then lies after the start), and for the rule `final`.
        train_time_to_target_s: Part of TTA in the phase `train`.
        energy_to_target_j: ETA: cumulative reading of the meters at the end of that evaluation. Its
            label is `energy_label`.
        energy_to_target_error_frac: Bound on the systematic error of ETA, as a share of it.
        samples_to_target: Training samples seen until then.
        steps_to_target: Optimizer steps until then.
        epochs_to_target: Passes over the training split until then.
        cost_to_target_usd: TTA x hourly price of all nodes + ETA x electricity price; see Cost and
            emissions.
        emissions_to_target_gco2e: ETA in kWh x carbon intensity of the country; see Cost and
            emissions.
        censored_at_s: Time used by a run that missed or was interrupted. None for a run that
            failed, was killed or ran out of memory, since it would not have hit later.
        censored_at_j: Joules used by such a run.
        cut_off_by: The limit of `config.cutoff` at which a search stopped a run that missed, such
            as `max_time_s`: its own budget was not used up. None for every other run.
        time_per_sample_s: Hardware factor: TTA / samples; for a miss, time used / samples seen.
            TTA = `samples_to_target` x `time_per_sample_s`.
        energy_per_sample_j: The same for joules: ETA = `samples_to_target` x `energy_per_sample_j`.
    """

    metric: str
    value: float
    mode: TargetMode
    rule: TargetRule
    consecutive: int
    reached: bool
    best_value: float | None = None
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
    cut_off_by: str | None = None
    time_per_sample_s: float | None = None
    energy_per_sample_j: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderRung:
    """The first evaluation that met a further threshold; the rule is always `first`.

    Attributes:
        value: Threshold, from the configuration.
        reached: Whether an evaluation met it.
        time_s: Clock reading at the end of that evaluation.
        energy_j: Cumulative reading of the meters at that time.
        samples: Training samples seen until then.
    """

    value: float
    reached: bool
    time_s: float | None = None
    energy_j: float | None = None
    samples: int | None = None
