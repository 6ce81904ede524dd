"""The expected cost until the first hit if a new run starts after every run that does not hit."""

from __future__ import annotations

import math

from bench.core.arrays import Bools, Floats
from bench.core.stats.intervals import CONFIDENCE, MIN_RUNS, Bounds, Estimate, finite


def expected_cost(
    cost: Floats, hit: Bools, *, confidence: float = CONFIDENCE, misses: bool = True
) -> Estimate:
    """Estimate the cost until the first hit with restarts (ERT).

    With hit rate p it is

        mean cost of hits + (1 - p) / p * mean cost of the others

    which equals the cost of all runs together / the number of hits. A failed run counts as one
    that did not hit, at its cost. Without a hit the value is infinite (None).

    The interval combines the intervals of the three parts: the exact one of the hit rate, and
    Student's of the two means. The distance to a bound is the root of the sum of the parts' squared
    distances.

    Args:
        cost: What each run spent until the target, or altogether if it did not reach it; shape
            (n,), n >= 1; NaN if unknown, and then so is the result.
        hit: Whether each run reached the target, shape (n,).
        confidence: Of the interval.
        misses: Whether a run may miss. If so, there is no interval while none did: the runs then do
            not show how often one misses, or at what cost. If not, it is Student's interval of the
            mean cost.

    Returns:
        Without an interval if there are fewer than six runs or fewer than two hits.

    Raises:
        ValueError: There is no run.

    Source: Auger and Hansen (CEC 2005), "Performance evaluation of an advanced local search
        evolutionary algorithm"; Hansen et al., "COCO: performance assessment", arXiv 1605.03560,
        section 4 (average running time). Interval: Clopper and Pearson (1934) for the rate; Zou and
        Donner (2008), Construction of confidence limits about effect measures (MOVER).
    """
    num = len(cost)
    if not num:
        raise ValueError("expected cost: no runs")
    value = ert(cost, hit)
    bounds = math.nan, math.nan
    if math.isfinite(value) and num >= MIN_RUNS and hit.sum() >= 2:
        if not hit.all():
            bounds = _bounds(cost, hit, value, confidence)
        elif not misses:
            half = _half_width(cost, confidence)
            bounds = value - half, value + half
    low, high = map(finite, bounds)
    return Estimate(value=finite(value), low=low, high=high, num=num, confidence=confidence)


def ert(cost: Floats, hit: Bools) -> float:
    """The value of expected_cost: infinite without a hit, NaN if a cost is unknown."""
    num_hits = int(hit.sum())
    # Misses are paid for before each hit, so their costs are part of the total.
    return float(cost.sum()) / num_hits if num_hits else math.inf


def _bounds(cost: Floats, hit: Bools, value: float, confidence: float) -> Bounds:
    from scipy.special import betaincinv

    hits, others = cost[hit], cost[~hit]
    tail = (1 - confidence) / 2
    lowest = float(betaincinv(len(hits), len(others) + 1, tail))
    highest = float(betaincinv(len(hits) + 1, len(others), 1 - tail))
    # Misses per hit. A high hit rate means few misses, so its upper bound gives the lower odds.
    odds, least, most = (1 / share - 1 for share in (len(hits) / len(cost), highest, lowest))
    hit_cost, other_cost = float(hits.mean()), odds * float(others.mean())
    hit_width = _half_width(hits, confidence)
    mean_width = odds * _half_width(others, confidence)
    down, up = (
        math.hypot(mean_width, float(others.mean()) * (odds - end)) for end in (least, most)
    )
    # Costs are not negative, so a lower bound is never further from its value than 0 is.
    lower = math.hypot(min(hit_width, hit_cost), min(down, other_cost))
    return value - lower, value + math.hypot(hit_width, up)


def _half_width(costs: Floats, confidence: float) -> float:
    """Half of Student's interval of a mean; 0 for a single value, whose spread is unknown."""
    if len(costs) < 2:
        return 0.0
    from scipy.special import stdtrit

    quantile = stdtrit(len(costs) - 1, (1 + confidence) / 2)
    return float(quantile * costs.std(ddof=1) / math.sqrt(len(costs)))
