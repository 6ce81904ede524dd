"""The expected cost until the first hit if a new run starts after every run that does not hit."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binomtest, t

from analysis.stats.outcomes import Outcomes
from bench.core.arrays import Floats
from bench.core.stats.intervals import CONFIDENCE, MIN_RUNS, Bounds, Estimate, finite


def expected_cost(outcomes: Outcomes) -> Estimate:
    """Estimate the cost until the first hit with restarts (ERT).

    With hit rate p it is

        mean cost of hits + (1 - p) / p * mean cost of the others

    which equals the cost of all runs together / the number of hits. A failed run counts as one
    that did not hit, at its cost. Without a hit the value is infinite (None).

    The interval combines the intervals of the three parts: the exact one of the hit rate, and
    Student's of the two means. The distance to a bound is the root of the sum of the parts' squared
    distances.

    Args:
        outcomes: Runs of one configuration, at least one. If a cost is unknown, so is the result.

    Returns:
        Without an interval if there are fewer than six runs, fewer than two hits, or no run that
        did not hit: the data then do not show how often a run misses, or at what cost.

    Raises:
        ValueError: There is no run.

    Source: Auger and Hansen (CEC 2005), "Performance evaluation of an advanced local search
        evolutionary algorithm"; Hansen et al., "COCO: performance assessment", arXiv 1605.03560,
        section 4 (average running time). Interval: Clopper and Pearson (1934) for the rate; Zou and
        Donner (2008), Construction of confidence limits about effect measures (MOVER).
    """
    num = len(outcomes)
    if not num:
        raise ValueError("expected cost: no runs")
    num_hits = outcomes.num_hits
    total = math.nan if outcomes.num_unknown else float(outcomes.cost.sum())
    # Misses are paid for before each hit, so their costs are part of the total.
    value = total / num_hits if num_hits else math.inf
    known = math.isfinite(value)
    low, high = _bounds(outcomes, value) if known else (math.nan, math.nan)
    return Estimate(value=finite(value), low=finite(low), high=finite(high), num=num)


def _bounds(outcomes: Outcomes, value: float) -> Bounds:
    num, hits, others = len(outcomes), outcomes.cost[outcomes.hit], outcomes.cost[~outcomes.hit]
    if num < MIN_RUNS or len(hits) < 2 or not len(others):
        return math.nan, math.nan
    rate = binomtest(len(hits), num).proportion_ci(CONFIDENCE, method="exact")
    # Misses per hit. A high hit rate means few misses, so its upper bound gives the lower odds.
    odds, least, most = (1 / share - 1 for share in (len(hits) / num, rate.high, rate.low))
    hit_cost, other_cost = float(hits.mean()), odds * float(others.mean())
    hit_width = _half_width(hits)
    mean_width = odds * _half_width(others)
    down, up = (
        math.hypot(mean_width, float(others.mean()) * (odds - end)) for end in (least, most)
    )
    # Costs are not negative, so a lower bound is never further from its value than 0 is.
    lower = math.hypot(min(hit_width, hit_cost), min(down, other_cost))
    return value - lower, value + math.hypot(hit_width, up)


def _half_width(costs: Floats) -> float:
    """Half of Student's interval of a mean; 0 for a single value, whose spread is unknown."""
    if len(costs) < 2:
        return 0.0
    quantile = t.ppf((1 + CONFIDENCE) / 2, len(costs) - 1)
    return float(quantile * costs.std(ddof=1) / math.sqrt(len(costs)))


def simulated_restarts(outcomes: Outcomes, *, num_draws: int = 10_000, seed: int = 0) -> Floats:
    """Simulate the cost until the first hit: draw runs, adding up their costs, until one hits.

    Args:
        outcomes: Runs of one configuration, at least one of them a hit, all costs known.
        num_draws: Number of simulations.
        seed: Of the random numbers.

    Returns:
        Costs, shape (num_draws,), unordered. Their mean tends to expected_cost.

    Raises:
        ValueError: No run hit, or a cost is unknown.

    Source: Hansen et al., arXiv 1605.03560, "simulated restarts".
    """
    if outcomes.num_unknown:
        raise ValueError(f"restarts: the cost of {outcomes.num_unknown} runs is unknown")
    if not outcomes.num_hits:
        raise ValueError("restarts: no run hit its target; restarting would never end")
    # A fixed seed, so that a figure is the same each time.
    rng = np.random.default_rng(seed)
    total = np.zeros(num_draws)
    pending = np.arange(num_draws)
    while len(pending):
        drawn = rng.integers(0, len(outcomes), size=len(pending))
        total[pending] += outcomes.cost[drawn]
        # All simulations step together, as arrays: a loop over each of them would be slow.
        pending = pending[~outcomes.hit[drawn]]
    return total
