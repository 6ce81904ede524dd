"""The rules that benchmarks/gate_power.py compares: this gate's, and those of other tools.

A rule takes the runs of both sides of many checks and decides which metrics are worse. Runs are
arrays of shape (checks, runs, metrics) in which smaller is better. asv and pyperf decide by their
own functions, if they are installed; the other rules are implemented here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu, ttest_ind

from bench.core.arrays import Bools, Floats, Ints
from bench.core.metric import metric_of
from bench.core.stats.looks import level_at
from bench.core.stats.ranks import holm, p_better
from bench.gate.model import GateRow, Verdict
from bench.gate.rule.effect import loss_of, ratio
from bench.gate.rule.power import reaches, too_few
from bench.gate.rule.rule import ASKS_UP_TO
from bench.gate.rule.sequential import is_open

ALPHA = 0.05
MIN_RUNS = 5
LOOKS = (6, 10, 14, 16)  # runs per side at which bench.ab looks by default
THRESHOLD_FRAC = 0.1
NUM_RUNS = (5, 8, 12)
METRIC = metric_of("cost", "min", kind="measured", least_effect_frac=0.05)
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Decisions of a rule on some checks.

    Attributes:
        flagged: Metrics that it calls worse, shape (checks, metrics).
        undecided: Checks without a regression that ask for more runs (exit code 3), shape
            (checks,); all False for a rule that never asks.
        num_runs: Runs per side that each check took, shape (checks,).
    """

    flagged: Bools
    undecided: Bools
    num_runs: Ints


Decide = Callable[[Floats, Floats], Outcome]
IsWorse = Callable[[list[float], list[float]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule, and how the benchmark tries it.

    Attributes:
        name: The printed name.
        decide: Takes base and candidate; None if its package is not installed.
        num_runs: Runs per side that it gets.
        joint: Whether its verdict on one metric depends on the others of the check.
    """

    name: str
    decide: Decide | None
    num_runs: tuple[int, ...] = NUM_RUNS
    joint: bool = False


def all_rules() -> list[Rule]:
    """List all rules, ours first."""
    looks = ", ".join(map(str, LOOKS))
    return [
        Rule(name="this gate", decide=ours, joint=True),
        Rule(
            name=f"this gate, looks at {looks}",
            decide=ours_looking,
            num_runs=LOOKS[-1:],
            joint=True,
        ),
        Rule(name="10% threshold, single runs", decide=of_medians, num_runs=(1,)),
        Rule(name="10% threshold, medians", decide=of_medians),
        Rule(name="Welch's t test", decide=welch),
        Rule(name="asv", decide=_where_installed(asv_is_worse)),
        Rule(name="pyperf", decide=_where_installed(pyperf_is_worse)),
        Rule(name="benchstat (re-stated)", decide=benchstat),
    ]


def verdicts(base: Floats, candidate: Floats, alpha: float = ALPHA) -> list[Verdict]:
    """Judge one check of measured metrics with one seed, as bench.gate.rule.rule.judge does.

    Leaves out the bounds that a row also shows, and counts improvements as no change.

    Args:
        base: Shape (runs, metrics).
        candidate: Shape (runs, metrics).
        alpha: Significance level of the check.
    """
    columns = list(zip(base.T, candidate.T, strict=True))
    losses = [loss_of(*column, METRIC.direction) for column in columns]
    p_values = [p_better(*column, METRIC.direction) for column in columns]
    if too_few(np.zeros(len(base), np.int64), level=alpha / len(columns), min_runs=MIN_RUNS):
        return ["underpowered"] * len(columns)
    results: list[Verdict] = []
    for loss, p, p_holm in zip(losses, p_values, holm(p_values), strict=True):
        assert p_holm is not None
        worse = loss >= METRIC.least_effect_frac - _ROUNDING
        if worse and reaches(p_holm, alpha):
            results.append("regression")
        else:
            nearly = reaches(p, alpha) and reaches(p_holm, ASKS_UP_TO * alpha)
            results.append("underpowered" if worse and nearly else "no change")
    return results


def wants_more(base: Floats, candidate: Floats, results: Sequence[Verdict]) -> bool:
    """Whether one check is still open, by the rule of bench.gate.rule.sequential.is_open.

    Intervals are slow, so they are computed only until one leaves the check open, the most likely
    one first.

    Args:
        base: Shape (runs, metrics).
        candidate: Shape (runs, metrics).
        results: Verdict of each metric.
    """
    if "regression" in results:
        return False
    if "underpowered" in results:
        return True
    losses = np.median(candidate, axis=0) / np.median(base, axis=0)
    return any(is_open([_row(base[:, m], candidate[:, m])]) for m in np.argsort(-losses))


def _row(base: Floats, candidate: Floats) -> GateRow:
    """A row without a verdict, with the fields that is_open reads."""
    return GateRow(
        metric=METRIC,
        kind="measured",
        configuration="",
        command="",
        config_hash="",
        num_base=len(base),
        num_candidate=len(candidate),
        base=None,
        candidate=None,
        ratio=ratio(base, candidate),
        loss_frac=None,
        threshold_frac=METRIC.least_effect_frac,
        p=None,
        p_holm=None,
        verdict="no change",
    )


def ours(base: Floats, candidate: Floats) -> Outcome:
    """This gate on a fixed number of runs, as bench.compare judges."""
    results = [verdicts(*check) for check in zip(base, candidate, strict=True)]
    return _of_verdicts(results, [base.shape[1]] * len(base))


def ours_looking(base: Floats, candidate: Floats) -> Outcome:
    """This gate with several looks, as bench.ab judges (bench.core.stats.looks)."""
    ends = [_looked(*check) for check in zip(base, candidate, strict=True)]
    return _of_verdicts([results for results, _ in ends], [num for _, num in ends])


def _looked(base: Floats, candidate: Floats) -> tuple[list[Verdict], int]:
    """Verdicts at the last look, and the runs per side at that look."""
    previous = 0
    for num in LOOKS:
        alpha = level_at(num, previous=previous, max_runs=LOOKS[-1], alpha=ALPHA)
        sides = base[:num], candidate[:num]
        results = verdicts(*sides, alpha)
        if num == LOOKS[-1] or not wants_more(*sides, results):
            break
        previous = num
    return results, num


def _of_verdicts(checks: Sequence[Sequence[Verdict]], num_runs: Sequence[int]) -> Outcome:
    flagged = np.array([[verdict == "regression" for verdict in check] for check in checks])
    undecided = np.array(["underpowered" in check for check in checks]) & ~flagged.any(axis=1)
    return Outcome(flagged=flagged, undecided=undecided, num_runs=np.array(num_runs, np.int64))


def _simple(flagged: Bools, num_runs: int) -> Outcome:
    """Outcome of a rule that always decides."""
    num = len(flagged)
    return Outcome(
        flagged=flagged, undecided=np.zeros(num, np.bool_), num_runs=np.full(num, num_runs)
    )


def of_medians(base: Floats, candidate: Floats) -> Outcome:
    """Worse if the median is worse by more than a threshold."""
    ratios = np.median(candidate, axis=1) / np.median(base, axis=1)
    return _simple(ratios > 1 + THRESHOLD_FRAC, base.shape[1])


def welch(base: Floats, candidate: Floats) -> Outcome:
    """Worse if Welch's two-sided t test is significant and the mean is larger."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A metric that never varies has no t statistic; that NaN is not significant.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        test = ttest_ind(candidate, base, axis=1, equal_var=False)
    return _simple((test.pvalue < ALPHA) & (test.statistic > 0), base.shape[1])


def benchstat(base: Floats, candidate: Floats) -> Outcome:
    """Worse if the two-sided Mann-Whitney test is significant and the median is larger.

    benchstat is a program in Go; this implements its rule with SciPy. SciPy has no exact
    distribution for ties, so for those this uses the normal approximation; benchstat stays exact.

    Source: golang.org/x/perf, benchmath: AssumeNothing.Compare and Comparison.FormatDelta.
    """
    both = np.sort(np.concatenate([base, candidate], axis=1), axis=1)
    tied = (np.diff(both, axis=1) == 0).any(axis=1)
    with np.errstate(all="ignore"):  # if all runs are equal, nothing is significant
        exact, normal = (
            mannwhitneyu(candidate, base, axis=1, method=method).pvalue
            for method in ("exact", "asymptotic")
        )
    larger = np.median(candidate, axis=1) > np.median(base, axis=1)
    return _simple((np.where(tied, normal, exact) <= ALPHA) & larger, base.shape[1])


def asv_is_worse() -> IsWorse:
    """Load asv's own decision, with its defaults: p below 0.002 and a factor above 1.1.

    asv's samples are repeats within one process or a few; here each sample is a run.

    Raises:
        ImportError: It is not installed.
    """
    is_better: Callable[..., bool] = import_module("asv.commands.compare")._is_result_better
    compute_stats = import_module("asv_runner.statistics").compute_stats

    def is_worse(base: list[float], candidate: list[float]) -> bool:
        (old, old_stats), (new, new_stats) = (compute_stats(side, 1) for side in (base, candidate))
        return is_better(old, new, (old_stats, base), (new_stats, candidate), 1 + THRESHOLD_FRAC)

    return is_worse


def pyperf_is_worse() -> IsWorse:
    """Load pyperf's own decision: significant by its t test, with a larger mean.

    Raises:
        ImportError: It is not installed.
    """
    is_significant = import_module("pyperf._compare").is_significant_benchs

    def is_worse(base: list[float], candidate: list[float]) -> bool:
        significant, _ = is_significant(_Values(base), _Values(candidate))
        return bool(significant) and sum(candidate) / len(candidate) > sum(base) / len(base)

    return is_worse


class _Values:
    """Stand-in for pyperf's Benchmark; its test reads nothing else."""

    def __init__(self, values: list[float]) -> None:
        self._values = values

    def get_values(self) -> Any:
        return self._values


def _where_installed(make: Callable[[], IsWorse]) -> Decide | None:
    try:
        is_worse = make()
    except ImportError:
        return None
    return one_by_one(is_worse)


def one_by_one(is_worse: IsWorse) -> Decide:
    """Make a rule from a function that judges one metric of one check."""

    def decide(base: Floats, candidate: Floats) -> Outcome:
        flagged = [
            [is_worse(old.tolist(), new.tolist()) for old, new in zip(olds.T, news.T, strict=True)]
            for olds, news in zip(base, candidate, strict=True)
        ]
        return _simple(np.array(flagged, np.bool_), base.shape[1])

    return decide
