"""The rule of the gate: a regression takes effect and evidence, over all metrics of a check.

Effect: the median is worse by the least effect or the noise floor. Evidence: an exact one-sided
rank test within strata (seeds), with Holm's correction over all measured rows. What is exact is
compared as it is; what is modelled, or judged by its parts, is shown only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.core.arrays import Floats
from bench.core.stats.intervals import finite
from bench.core.stats.ranks import ALPHA, holm, p_better
from bench.gate.model import GateRow, Kind, RowValues, Verdict
from bench.gate.rule.effect import ROUNDING, aligned, exact_loss, loss_of, ratio, without_rounding
from bench.gate.rule.power import reaches, runs_to_settle, smallest_loss_seen, too_few

# More runs are asked for where the family's level would have to be up to so many times alpha: a
# bound like that of false alarms, so that of checks without a difference few ask.
ASKS_UP_TO = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """RowValues with all that does not depend on other rows.

    Attributes:
        base: Aligned values.
        candidate: Aligned values.
        loss: As a share of the base; infinite either way, or NaN where it is not known.
        p_loss: That the candidate is not worse; None where nothing is tested.
        p_gain: That it is not better.
        note: Why it was demoted.
    """

    samples: RowValues
    kind: Kind
    base: Floats
    candidate: Floats
    loss: float
    threshold_frac: float
    p_loss: float | None
    p_gain: float | None
    note: str

    @property
    def worse(self) -> bool:
        return self.loss > 0 and self.loss >= self.threshold_frac - ROUNDING

    @property
    def better(self) -> bool:
        return self.loss < 0 and -self.loss >= self.threshold_frac - ROUNDING


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """Of one check: its level, and that of a single test where all rows are equally unlikely."""

    alpha: float
    num_tests: int
    min_runs: int

    @property
    def level(self) -> float:
        return self.alpha / max(self.num_tests, 1)


def judge(
    samples: Sequence[RowValues], *, alpha: float = ALPHA, min_runs: int = 5
) -> list[GateRow]:
    """What became of each row of a check.

    The chance that any measured row of a check without a difference is called a regression is at
    most alpha, and that one of enough runs is a regression or underpowered at most twice that;
    improvements have a family of their own.

    Args:
        samples: All rows of the check: Holm's correction is over the measured ones among them.
        alpha: Level of the whole check.
        min_runs: Measured rows with fewer runs on a side are underpowered.

    Returns:
        One row each, in the same order.

    Raises:
        ValueError: alpha is not between 0 and 0.5, or a row has no runs on a side, or has values
            that are negative or not a number.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha={alpha}: must be between 0 and 0.5, for example 0.05")
    compared = [_compared(each) for each in samples]
    losses = holm([each.p_loss for each in compared])
    gains = holm([each.p_gain for each in compared])
    num_tests = sum(p is not None for p in losses)
    rule = _Rule(alpha=alpha, num_tests=num_tests, min_runs=min_runs)
    return [_row(*each, rule) for each in zip(compared, losses, gains, strict=True)]


def _compared(samples: RowValues) -> _Compared:
    _check(samples)
    samples = _without_rounding(samples)
    base, candidate = aligned(samples)
    better = samples.metric.direction
    kind, loss, demoted = samples.kind, loss_of(base, candidate, better), ""
    if kind == "exact":
        kind, loss, demoted = exact_loss(samples, loss)
    floor_frac = 0.0 if kind == "exact" else samples.floor_frac
    tested = kind == "measured" and not _all_missed(samples)
    return _Compared(
        samples=samples,
        kind=kind,
        base=base,
        candidate=candidate,
        loss=loss,
        threshold_frac=max(samples.metric.least_effect_frac, floor_frac),
        p_loss=p_better(base, candidate, better, samples.strata) if tested else None,
        p_gain=p_better(candidate, base, better, samples.strata) if tested else None,
        note=demoted,
    )


def _check(samples: RowValues) -> None:
    values = np.concatenate([samples.base, samples.candidate])
    place = f"{samples.metric.name} of {samples.configuration}"
    if not len(samples.base) or not len(samples.candidate):
        raise ValueError(f"{place}: a side has no runs; leave the row out and say it is missing")
    if np.isnan(values).any() or (values[np.isfinite(values)] < 0).any():
        raise ValueError(f"{place}: values must be numbers from 0 on, or infinite for a miss")


def _without_rounding(samples: RowValues) -> RowValues:
    """The samples with the values of both sides on one scale, where a metric is rounded."""
    both = np.concatenate([samples.base, samples.candidate])
    same = without_rounding(both, samples.metric.rounding_frac)
    base, candidate = np.split(same, [len(samples.base)])
    return replace(samples, base=base, candidate=candidate)


def _all_missed(samples: RowValues) -> bool:
    return bool(np.isinf(samples.base).all() and np.isinf(samples.candidate).all())


def _misses(samples: RowValues) -> str:
    if _all_missed(samples):
        return "all runs of both sides missed"
    sides = ("base", samples.base), ("candidate", samples.candidate)
    counts = [f"{name} {np.isinf(side).sum()} of {len(side)}" for name, side in sides]
    some = np.isinf(samples.base).any() or np.isinf(samples.candidate).any()
    return f"runs that missed: {', '.join(counts)}" if some else ""


def _row(
    compared: _Compared, p_holm: float | None, p_gain_holm: float | None, rule: _Rule
) -> GateRow:
    samples = compared.samples
    few = _too_few(compared, rule)
    seen = None if few else _smallest_seen(compared, rule)
    verdict = "underpowered" if few else _verdict(compared, p_holm, p_gain_holm, rule)
    if verdict == "no change" and seen is None and _has_medians(compared):
        verdict = "underpowered"  # its spread would have hidden any loss
    note = _note(compared, verdict, seen, few, rule)
    words = (samples.note, compared.note, _misses(samples), note)
    return GateRow(
        metric=samples.metric,
        kind=compared.kind,
        configuration=samples.configuration,
        command=samples.command,
        config_hash=samples.config_hash,
        num_base=len(samples.base),
        num_candidate=len(samples.candidate),
        base=finite(float(np.median(samples.base))),
        candidate=finite(float(np.median(samples.candidate))),
        ratio=ratio(samples.base, samples.candidate, samples.strata),
        loss_frac=finite(compared.loss),
        threshold_frac=compared.threshold_frac,
        p=compared.p_loss,
        p_holm=p_holm,
        verdict=verdict,
        smallest_seen_frac=seen,
        more_runs=few or _more_runs(compared, verdict, rule),
        note="; ".join(word for word in words if word),
    )


def _too_few(compared: _Compared, rule: _Rule) -> int:
    """How many more runs are needed before anything could be found; 0 where nothing is tested."""
    if compared.p_loss is None:
        return 0
    return too_few(compared.samples.strata, level=rule.level, min_runs=rule.min_runs)


def _verdict(
    compared: _Compared, p_holm: float | None, p_gain_holm: float | None, rule: _Rule
) -> Verdict:
    if compared.kind in ("modelled", "sum") or _all_missed(compared.samples):
        return "not judged"
    exact = compared.kind == "exact"
    if compared.worse and (exact or _shown(p_holm, rule)):
        return "regression"
    if compared.better and (exact or _shown(p_gain_holm, rule)):
        return "improvement"
    return "underpowered" if _nearly_shown(compared, p_holm, rule) else "no change"


def _shown_alone(compared: _Compared, rule: _Rule) -> bool:
    """Whether there is a loss that would be shown if no other row were judged."""
    return compared.worse and _shown(compared.p_loss, rule)


def _nearly_shown(compared: _Compared, p_holm: float | None, rule: _Rule) -> bool:
    """Whether a loss is shown on its own and nearly among so many rows: more runs would tell."""
    if p_holm is None or not _shown_alone(compared, rule):
        return False
    return reaches(p_holm, ASKS_UP_TO * rule.alpha)


def _has_medians(compared: _Compared) -> bool:
    """Whether a loss can be stated as a share of anything."""
    medians = np.median(compared.base), np.median(compared.candidate)
    return bool(np.isfinite(medians).all() and min(medians) > 0)


def _shown(p: float | None, rule: _Rule) -> bool:
    return p is not None and reaches(p, rule.alpha)


def _more_runs(compared: _Compared, verdict: Verdict, rule: _Rule) -> int | None:
    """How many more would settle a loss that is shown on its own."""
    if verdict != "underpowered" or compared.p_loss is None or not _shown(compared.p_loss, rule):
        return None
    return runs_to_settle(len(compared.base), p=compared.p_loss, level=rule.level)


def _smallest_seen(compared: _Compared, rule: _Rule) -> float | None:
    if compared.kind == "exact" and not _all_missed(compared.samples):
        return compared.threshold_frac
    if compared.p_loss is None:
        return None
    return smallest_loss_seen(
        compared.base,
        compared.candidate,
        compared.samples.strata,
        compared.samples.metric.direction,
        threshold_frac=compared.threshold_frac,
        level=rule.level,
    )


def _note(compared: _Compared, verdict: Verdict, seen: float | None, few: int, rule: _Rule) -> str:
    """What has to be said beside the verdict."""
    if verdict == "improvement" and compared.p_gain is not None:
        return f"better with p {compared.p_gain:.2g} before Holm"
    if verdict == "no change" and _shown_alone(compared, rule):
        return f"worse with p {compared.p_loss:.2g} before Holm, as one of {rule.num_tests} may be"
    if verdict != "underpowered" or few:
        return ""
    hidden = seen is None
    return "its spread hides even a tenfold loss" if hidden else "if the effect stays as it is seen"
