"""The rule of the gate: a regression takes an effect and evidence for it.

Effect: the candidate's median is worse by at least the metric's least effect, or by the noise floor
where that is larger. Evidence: an exact one-sided rank test, in which runs are exchanged only with
runs of the same seed, is significant after Holm's correction over all measured rows of the check.
Runs that share a server are exchanged together.

An exact metric needs no evidence: the same work gives the same number, so any difference is real.
Modelled metrics, and totals whose parts are judged, are shown and not judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.core.arrays import Floats, Ints
from bench.core.stats.intervals import finite, median, middle_of
from bench.core.stats.ranks import ALPHA, exchange_classes, holm, p_better
from bench.gate.model import GateRow, Kind, RowValues, Verdict
from bench.gate.rule.effect import (
    ROUNDING,
    align,
    by_server,
    loss_of,
    loss_of_exact,
    ratio,
    without_rounding,
)
from bench.gate.rule.power import reaches, runs_to_settle, smallest_detectable_loss, too_few

# A loss that is significant on its own, with a corrected p of at most this times alpha, asks for
# more runs. The bound keeps such requests rare: without a difference, a check asks for more runs or
# calls a regression with a chance of at most this times alpha.
ASKS_UP_TO = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """One row with all that does not depend on the other rows of the check.

    Attributes:
        values: As measured, rounding removed.
        kind: That of the values, or measured for an exact metric that was demoted.
        base: Aligned values.
        candidate: Aligned values.
        loss: As a share of the base; infinite either way, or NaN where it is not known.
        threshold_frac: The least loss that counts.
        p_loss: p that the candidate is not worse; None where nothing is tested.
        p_gain: p that it is not better.
        units: A number per pair of what the test exchanges, whole servers or runs: those with the
            same number are exchangeable.
        runs_per_unit: How many runs of each side make up one of these, on average.
        note: Why it was demoted.
    """

    values: RowValues
    kind: Kind
    base: Floats
    candidate: Floats
    loss: float
    threshold_frac: float
    p_loss: float | None
    p_gain: float | None
    units: Ints
    runs_per_unit: int
    note: str

    @property
    def is_worse(self) -> bool:
        return self.loss > 0 and self.loss >= self.threshold_frac - ROUNDING

    @property
    def is_better(self) -> bool:
        return self.loss < 0 and -self.loss >= self.threshold_frac - ROUNDING


def judge(rows: Sequence[RowValues], *, alpha: float = ALPHA, min_runs: int = 5) -> list[GateRow]:
    """Judge all rows of a check.

    Without any difference, the chance that a measured row is called a regression is at most alpha,
    and the chance that a row of enough runs is a regression or underpowered is at most twice that.
    Improvements have a correction of their own.

    Args:
        rows: All of the check: Holm's correction is over the measured ones among them.
        alpha: Level of the whole check.
        min_runs: Measured rows with fewer runs on a side are underpowered.

    Returns:
        One row each, in the same order.

    Raises:
        ValueError: alpha is not between 0 and 0.5, or a row has no runs on a side, or has values
            that the metric cannot have.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha={alpha}: must be between 0 and 0.5, for example 0.05")
    tests = [_test(values) for values in rows]
    # Two families: an improvement must not make a regression harder to find.
    losses = holm([test.p_loss for test in tests])
    gains = holm([test.p_gain for test in tests])
    check = _Check(alpha=alpha, num_tests=sum(p is not None for p in losses), min_runs=min_runs)
    return [check.row(*each) for each in zip(tests, losses, gains, strict=True)]


def _test(values: RowValues) -> _Test:
    both = np.concatenate([values.base, values.candidate])
    place = f"{values.metric.name} of {values.configuration}"
    if not len(values.base) or not len(values.candidate):
        raise ValueError(f"{place}: a side has no runs; leave the row out and say it is missing")
    lower = values.metric.lower
    if np.isnan(both).any() or (both[np.isfinite(both)] < lower).any():
        raise ValueError(f"{place}: values must be numbers from {lower:g} on; infinite for a miss")
    # Both sides on one scale: a rounded value and its exact one are equal.
    both = without_rounding(both, values.metric.rounding_frac)
    base, candidate = np.split(both, [len(values.base)])
    values = replace(values, base=base, candidate=candidate)
    num_runs, better = len(base), values.metric.direction
    kind, demoted = values.kind, ""
    if kind == "exact":
        kind, loss, demoted = loss_of_exact(values, loss_of(*align(values), better))
    if kind != "exact":
        values = by_server(values)
        base, candidate = align(values)
        loss = loss_of(base, candidate, better)
    floor_frac = 0.0 if kind == "exact" else values.floor_frac
    least_frac = values.metric.least_loss_frac(middle_of(values.base))
    is_tested = kind == "measured" and not _all_missed(values)
    exchanged = values.strata, values.servers
    units = values.strata
    if values.servers is not None:
        units = exchange_classes(values.strata, values.servers)
    return _Test(
        values=values,
        kind=kind,
        base=base,
        candidate=candidate,
        loss=loss,
        threshold_frac=max(least_frac, floor_frac),
        p_loss=p_better(base, candidate, better, *exchanged) if is_tested else None,
        p_gain=p_better(candidate, base, better, *exchanged) if is_tested else None,
        runs_per_unit=round(num_runs / len(units)),
        units=units,
        note=demoted,
    )


def _all_missed(values: RowValues) -> bool:
    return bool(np.isinf(values.base).all() and np.isinf(values.candidate).all())


def _describe_misses(values: RowValues) -> str:
    if _all_missed(values):
        return "all runs of both sides missed"
    sides = ("base", values.base), ("candidate", values.candidate)
    if not any(np.isinf(side).any() for _, side in sides):
        return ""
    counts = [f"{name} {np.isinf(side).sum()} of {len(side)}" for name, side in sides]
    return f"runs that missed: {', '.join(counts)}"


# A verdict with the smallest loss that would have been found, how many more runs per side would
# settle the row, and a note.
_Judgement = tuple[Verdict, float | None, int | None, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """What the verdicts of one check have in common."""

    alpha: float
    num_tests: int
    min_runs: int

    def row(self, test: _Test, p_holm: float | None, p_gain_holm: float | None) -> GateRow:
        """The row of a test, given its p-values after Holm's correction."""
        values = test.values
        if test.kind in ("modelled", "sum") or _all_missed(values):
            verdict, smallest, more, note = _NOT_JUDGED
        elif test.p_loss is None or p_holm is None or test.p_gain is None or p_gain_holm is None:
            verdict, smallest, more, note = _judge_exact(test)
        else:
            ps = (test.p_loss, p_holm, test.p_gain, p_gain_holm)
            verdict, smallest, more, note = self._judge_measured(test, *ps)
        notes = (values.note, test.note, _describe_misses(values), note)
        return GateRow(
            metric=values.metric,
            kind=test.kind,
            configuration=values.configuration,
            command=values.command,
            config_hash=values.config_hash,
            num_base=len(values.base),
            num_candidate=len(values.candidate),
            base=finite(middle_of(values.base)),
            candidate=finite(middle_of(values.candidate)),
            ratio=ratio(values.base, values.candidate, values.strata),
            loss_frac=finite(test.loss),
            threshold_frac=test.threshold_frac,
            p=test.p_loss,
            p_holm=p_holm,
            verdict=verdict,
            smallest_seen_frac=smallest,
            more_runs=more,
            note="; ".join(filter(None, notes)),
            candidate_median=median(values.candidate),
        )

    def _judge_measured(
        self, test: _Test, p_loss: float, p_holm: float, p_gain: float, p_gain_holm: float
    ) -> _Judgement:
        level = self.alpha / self.num_tests  # of a single test if all were equally significant
        if few := too_few(test.units, level=level, min_runs=self.min_runs):
            return "underpowered", None, few * test.runs_per_unit, ""
        smallest = smallest_detectable_loss(
            test.base,
            test.candidate,
            test.values.strata,
            test.values.metric.direction,
            servers=test.values.servers,
            threshold_frac=test.threshold_frac,
            level=level,
        )
        if test.is_worse and reaches(p_holm, self.alpha):
            return "regression", smallest, None, ""
        if test.is_better and reaches(p_gain_holm, self.alpha):
            return "improvement", smallest, None, f"better with p {p_gain:.2g} before Holm"
        is_significant_alone = reaches(p_loss, self.alpha)
        is_nearly_shown = (
            test.is_worse and is_significant_alone and reaches(p_holm, ASKS_UP_TO * self.alpha)
        )
        # A spread that would have hidden any loss; without medians, no loss can be stated at all.
        is_hidden = smallest is None and _has_medians(test)
        if is_nearly_shown or is_hidden:
            more = None
            if is_significant_alone:
                more = runs_to_settle(len(test.units), p=p_loss, level=level)
                more *= test.runs_per_unit
            reason = "its spread hides even a tenfold loss"
            note = reason if smallest is None else "if the effect stays as it is seen"
            return "underpowered", smallest, more, note
        note = ""
        if test.is_worse and is_significant_alone:
            note = f"worse with p {p_loss:.2g} before Holm, as one of {self.num_tests} may be"
        return "no change", smallest, None, note


_NOT_JUDGED: _Judgement = ("not judged", None, None, "")


def _judge_exact(test: _Test) -> _Judgement:
    verdict: Verdict = "no change"
    if test.is_worse:
        verdict = "regression"
    elif test.is_better:
        verdict = "improvement"
    return verdict, test.threshold_frac, None, ""


def _has_medians(test: _Test) -> bool:
    """Whether a loss can be stated as a share of anything."""
    medians = middle_of(test.base), middle_of(test.candidate)
    return bool(np.isfinite(medians).all() and min(medians) > 0)
