"""The time to a target by survival analysis: a run that missed is censored, not dropped.

`Survival` means that a run has not hit yet. A run that failed would not have hit later, so it is
not censored when it ended; it counts as a run that never hits.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import CensoredData, ecdf, logrank

from analysis.stats.outcomes import Outcomes
from bench.core.arrays import Floats
from bench.core.stats.intervals import CONFIDENCE, MIN_RUNS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KaplanMeier:
    """The probability of not having hit by a time (or by joules); every array of shape (k,).

    It is constant between two times, and 1 before the first.

    Attributes:
        time: Distinct costs at which runs hit or were censored, increasing.
        survival: Probability of not having hit at that time.
        low: Its lower bound; NaN with fewer than six runs, whose bounds cover too little, and
            where the formula gives none (every run has hit).
        high: Upper bound, likewise.
        num: All runs.
        num_hits: Runs that hit.
    """

    time: Floats
    survival: Floats
    low: Floats
    high: Floats
    num: int
    num_hits: int

    @property
    def hit_probability(self) -> Floats:
        """Probability of having hit, with bounds 1 - high and 1 - low."""
        return 1.0 - self.survival

    def at(self, time: float) -> float:
        """Survival at any time."""
        place = int(np.searchsorted(self.time, time, side="right"))
        return 1.0 if place == 0 else float(self.survival[place - 1])

    def median(self) -> float | None:
        """The first time at which at most half have not hit; None if that is never seen."""
        below = np.flatnonzero(self.survival <= 0.5 + 1e-12)
        return float(self.time[below[0]]) if len(below) else None


def kaplan_meier(outcomes: Outcomes) -> KaplanMeier:
    """Estimate survival by Kaplan and Meier, with pointwise bounds (Greenwood, log(-log) scale).

    The bounds are approximate; docs/metrics.md, "Analysis", gives their coverage by simulation.

    Args:
        outcomes: Runs of one configuration, at least one, all costs known.

    Raises:
        ValueError: There is no run, or a cost is unknown.

    Source: Kaplan and Meier (1958); Sawyer, "The Greenwood and Exponential Greenwood Confidence
        Intervals in Survival Analysis", by scipy.stats.ecdf.
    """
    survival = ecdf(censored(outcomes)).sf
    with warnings.catch_warnings():
        # The formula has no value if no run has hit, or all have: the bounds are NaN there.
        warnings.filterwarnings("ignore", "The confidence interval is undefined", RuntimeWarning)
        bounds = survival.confidence_interval(CONFIDENCE, method="log-log")
    return KaplanMeier(
        time=survival.quantiles,
        survival=survival.probabilities,
        low=_where_enough(bounds.low.probabilities, outcomes),
        high=_where_enough(bounds.high.probabilities, outcomes),
        num=len(outcomes),
        num_hits=outcomes.num_hits,
    )


def _where_enough(bounds: Floats, outcomes: Outcomes) -> Floats:
    return bounds if len(outcomes) >= MIN_RUNS else np.full_like(bounds, np.nan)


def censored(outcomes: Outcomes) -> CensoredData:
    """Turn hits into events, misses into censored runs, and failures into runs that never hit.

    A failure is censored at the end of all runs, so it stays in the risk set. That makes 1 -
    survival the probability of a hit, instead of the probability among runs that never fail.

    Raises:
        ValueError: There is no run, or a cost is unknown.

    Source: the subdistribution of Fine and Gray (1999), with failing as the competing event.
    """
    if not len(outcomes):
        raise ValueError("survival: no runs")
    if outcomes.num_unknown:
        raise ValueError(f"survival: the cost of {outcomes.num_unknown} runs is unknown")
    end = float(outcomes.cost.max())
    # scipy has no competing events; a failure that stays at risk until the end has the same effect.
    last = np.where(outcomes.failed, end, outcomes.cost)
    return CensoredData(uncensored=outcomes.cost[outcomes.hit], right=last[~outcomes.hit])


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRank:
    """Whether two sets of runs hit their target at different rates; two-sided."""

    chi2: float
    p_value: float
    num: tuple[int, int]


def log_rank(first: Outcomes, second: Outcomes) -> LogRank:
    """Test by log-rank whether two sets of runs hit at different rates.

    Args:
        first: At least one run, all costs known; failures are censored at the end of both sets.
        second: Likewise.

    Raises:
        ValueError: A set has no run, a cost is unknown, or no run hit in either set.

    Source: Mantel (1966); Peto and Peto (1972), by scipy.stats.logrank.
    """
    if first.num_hits + second.num_hits == 0:
        raise ValueError("log-rank: no run of either configuration hit")
    end = max(np.nanmax(each.cost, initial=0.0) for each in (first, second))
    result = logrank(*(censored(_failing_at(each, end)) for each in (first, second)))
    return LogRank(
        chi2=float(result.statistic) ** 2,
        p_value=float(result.pvalue),
        num=(len(first), len(second)),
    )


def _failing_at(outcomes: Outcomes, end: float) -> Outcomes:
    cost = np.where(outcomes.failed & ~np.isnan(outcomes.cost), end, outcomes.cost)
    return Outcomes(cost=cost, hit=outcomes.hit, failed=outcomes.failed)
