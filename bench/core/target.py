"""Decides when a run has reached its target, what that took, and the ladder of other thresholds.

Pure functions over the rows of a curve, so any rule can be applied again to a stored run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from bench.core.checks import MISSING, KeyGroup, PositiveCount, one_of
from bench.core.qualities import QUALITIES
from bench.core.records.curve import CurveRow
from bench.core.records.target import LadderRung, TargetMode, TargetResult, TargetRule

# The most by which a metric computed in float32 is off, as a share: each rounding is off by up to
# 2**-24, and a mean over batches is rounded a few times. In float32, 19/20 is 0.949999988.
FLOAT32_ROUNDING = 2.0**-21
RULES = ("first", "consecutive", "final")
# The thresholds of conf/target/default.yaml, which suit metrics between 0 and 1.
DEFAULT_LADDER = (0.5, 0.8, 0.9, 0.93, 0.95, 0.97)


def meets(measured: float, threshold: float, mode: TargetMode) -> bool:
    """Whether a value meets its threshold, as far as float32 can tell; NaN never does."""
    slack = FLOAT32_ROUNDING * abs(threshold)
    return measured >= threshold - slack if mode == "max" else measured <= threshold + slack


def require_possible(metric: str, value: float) -> None:
    """Refuse a value that the metric cannot have, such as an accuracy in percent; NaN passes.

    Args:
        metric: Name of a quality; any value is possible for one that the suite does not know.
        value: The value as it was logged.

    Raises:
        ValueError: The value lies outside the range of the metric.
    """
    facts = QUALITIES.get(metric)
    slack = FLOAT32_ROUNDING  # 1.0000001 is an accuracy of 1
    if facts and (value < facts.lower - slack or value > facts.upper + slack):
        raise ValueError(
            f"{metric}={value:g}: {metric} lies between {facts.lower:g} and {facts.upper:g}"
            + ("; log it as a fraction, not in percent" if facts.unit == "fraction" else "")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A metric, its threshold and direction, and the rule by which it counts as reached."""

    metric: str
    value: float
    mode: TargetMode
    rule: TargetRule
    consecutive: int
    ladder: tuple[float, ...] = ()

    def met_by(self, row: CurveRow, threshold: float | None = None) -> bool:
        """Whether one evaluation meets the threshold (the target's own by default)."""
        measured = row.quality.get(self.metric)
        if measured is None:
            return False
        return meets(measured, self.value if threshold is None else threshold, self.mode)


@dataclass(kw_only=True)
class TargetConfig(KeyGroup):
    """What counts as reaching the target, and how often the model is evaluated."""

    metric: str = "accuracy"
    value: float = MISSING
    mode: Annotated[str, one_of(("max", "min"))] | None = None
    rule: Annotated[str, one_of(RULES)] = "first"
    consecutive: PositiveCount = 2
    eval_every_samples: PositiveCount | None = MISSING
    ladder: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check the threshold and the direction against the metric.

        Thresholds of the default ladder that the metric cannot have are left out: nobody gave them.

        Raises:
            ValueError: The metric cannot have them; the message names the key and the remedy.
        """
        facts = QUALITIES.get(self.metric)
        if facts is None:
            return
        if tuple(self.ladder) == DEFAULT_LADDER:
            self.ladder = [rung for rung in self.ladder if facts.lower <= rung <= facts.upper]
        for key, value in [("value", self.value), *(("ladder", rung) for rung in self.ladder)]:
            if not facts.lower <= value <= facts.upper:
                raise ValueError(
                    f"target.{key}={value}: {self.metric} lies between {facts.lower:g} and "
                    f"{facts.upper:g}"
                )
        if self.mode not in (None, facts.mode):
            better = "larger" if facts.mode == "max" else "smaller"
            raise ValueError(
                f"target.mode={self.mode}: {self.metric} is better when it is {better}; "
                f"use {facts.mode} or leave it out"
            )

    def build(self) -> Target:
        """The target as the measuring code takes it.

        Raises:
            ValueError: The suite does not know which direction of the metric is better.
        """
        mode = self.mode or (QUALITIES[self.metric].mode if self.metric in QUALITIES else None)
        if mode is None:
            raise ValueError(
                f"target.metric={self.metric}: whether more or less of it is better is not known; "
                "give target.mode=max or target.mode=min"
            )
        return Target(
            metric=self.metric,
            value=self.value,
            mode=mode,  # type: ignore[arg-type]  # checked
            rule=self.rule,  # type: ignore[arg-type]  # checked
            consecutive=self.consecutive,
            ladder=tuple(self.ladder),
        )


def crossing_index(rows: Sequence[CurveRow], target: Target, *, finished: bool) -> int | None:
    """Index of the evaluation at which the target counts as reached, or None.

    Args:
        rows: Evaluations in order.
        target: The target; `first` is met by the first evaluation at or past the threshold,
            `consecutive` by the k-th in a row, `final` by the last one of a finished schedule.
        finished: Whether the schedule ran to its end (only `final` looks at it).
    """
    if target.rule == "final":
        return len(rows) - 1 if finished and rows and target.met_by(rows[-1]) else None
    needed = target.consecutive if target.rule == "consecutive" else 1
    streak = 0
    for index, row in enumerate(rows):
        streak = streak + 1 if target.met_by(row) else 0
        if streak == needed:
            return index
    return None


def _last_miss_s(rows: Sequence[CurveRow], target: Target, crossing: int) -> float | None:
    """Time of the last evaluation before the crossing that missed; None if there was none."""
    if target.rule == "final":
        return None  # by this rule the time is the length of the schedule, not a crossing
    missed = [row.time_s for row in rows[:crossing] if not target.met_by(row)]
    return missed[-1] if missed else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run had used when it ended: the cost of a miss or of a failure."""

    time_s: float
    energy_j: float | None
    samples: int | None

    @classmethod
    def at(cls, row: CurveRow) -> Spent:
        """What the run had used at an evaluation."""
        return cls(time_s=row.time_s, energy_j=row.energy_total_j, samples=row.samples)


def _best_value(rows: Sequence[CurveRow], target: Target) -> float | None:
    """The best value of the target's metric over all evaluations; None without a finite one."""
    values = [row.quality.get(target.metric) for row in rows]
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return (max if target.mode == "max" else min)(numbers, default=None)


def target_result(
    rows: Sequence[CurveRow],
    target: Target,
    *,
    finished: bool,
    spent: Spent | None,
    censored: bool = True,
    cut_off_by: str | None = None,
) -> TargetResult:
    """Say what reaching the target took, or what was spent on missing it.

    Args:
        rows: Evaluations in order.
        target: The target.
        finished: Whether the schedule ran to its end.
        spent: What the run had used when it ended; None if the clock never started.
        censored: False for a run that failed. A run that diverged would not have hit later: it is
            a failure with a cost, and has no censoring time.
        cut_off_by: The limit at which a search stopped the run; None if none did.
    """
    facts = asdict(target)
    del facts["ladder"]
    crossing = crossing_index(rows, target, finished=finished)
    if crossing is not None:
        facts |= _cost_of_reaching(rows, target, crossing)
    elif spent is not None:
        facts |= _per_sample(spent)
        if censored:
            facts |= {"censored_at_s": spent.time_s, "censored_at_j": spent.energy_j}
            facts["cut_off_by"] = None if finished else cut_off_by
    reached = crossing is not None
    return TargetResult(**facts, reached=reached, best_value=_best_value(rows, target))


def _cost_of_reaching(rows: Sequence[CurveRow], target: Target, crossing: int) -> dict[str, Any]:
    row = rows[crossing]
    return _per_sample(Spent.at(row)) | {
        "time_to_target_s": row.time_s,
        "last_miss_s": _last_miss_s(rows, target, crossing),
        "train_time_to_target_s": row.train_time_s,
        "energy_to_target_j": row.energy_total_j,
        "energy_to_target_error_frac": row.energy_error_frac,
        "samples_to_target": row.samples,
        "steps_to_target": row.steps,
        "epochs_to_target": row.epochs,
    }


def _per_sample(spent: Spent) -> dict[str, Any]:
    samples, energy_j = spent.samples, spent.energy_j
    return {
        "time_per_sample_s": spent.time_s / samples if samples else None,
        "energy_per_sample_j": energy_j / samples if samples and energy_j is not None else None,
    }


def ladder(rows: Sequence[CurveRow], target: Target) -> list[LadderRung]:
    """Find the first evaluation that met each rung; its time, joules and samples."""
    firsts = (
        (value, next((row for row in rows if target.met_by(row, value)), None))
        for value in target.ladder
    )
    return [
        LadderRung(
            value=value,
            reached=row is not None,
            time_s=row.time_s if row else None,
            energy_j=row.energy_total_j if row else None,
            samples=row.samples if row else None,
        )
        for value, row in firsts
    ]
