"""Statistical power: what loss a comparison could have found, and how many more runs it needs."""

from __future__ import annotations

import bisect
import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from bench.core.arrays import Floats, Ints
from bench.core.metric import Better
from bench.core.stats.intervals import middle_of
from bench.core.stats.ranks import p_better, smallest_p

# Losses that are tried, 3% apart: up to a cost eleven times as high, or a thousandth of a rate.
_LEAST_LOSS_FRAC = 1e-4
_MOST_LOSS_FRAC = {"min": 10.0, "max": 0.999}
_NUM_LOSSES = 400


def reaches(p: float, level: float) -> bool:
    """Whether p is at most the level; rounding does not matter: 1/20 is at most 0.05."""
    return p <= level * (1 + 1e-9)


def too_few(strata: Ints, *, level: float, min_runs: int) -> int:
    """How many more runs each side needs before any loss could be significant; 0 for none.

    With one stratum, further runs are assumed to belong to it. With several, each further pair is
    assumed to be a stratum of its own (a new seed), which halves the smallest p: any other way
    needs fewer runs.

    Args:
        strata: A number per pair of runs; or per pair of servers, if whole servers are exchanged.
        level: The level that p has to reach.
        min_runs: Least number of runs per side.
    """
    # No test below the least number of runs, whatever p it could reach.
    more = max(0, min_runs - len(strata))
    while not reaches(_smallest_p_with(strata, more), level):
        more += 1
    return more


def _smallest_p_with(strata: Ints, more: int) -> float:
    _, sizes = np.unique(strata, return_counts=True)
    sizes = sizes + more if len(sizes) == 1 else np.append(sizes, np.ones(more, np.int64))
    # Strata are permuted independently, so their smallest p-values multiply.
    return math.prod(smallest_p(int(size), int(size)) for size in sizes)


def runs_to_settle(num: int, *, p: float, level: float) -> int:
    """How many more runs each side needs for p to reach the level, at least one.

    This assumes that the effect stays as observed: then the normal score of p grows with the square
    root of the number of runs.

    Args:
        num: Runs per side.
        p: One-sided, below 0.5 and above the level.
        level: The level that p has to reach.

    Source: Noether (1987), Sample size determination for some common nonparametric tests.
    """
    normal = NormalDist()
    growth = (normal.inv_cdf(level) / normal.inv_cdf(p)) ** 2
    return max(1, math.ceil(num * (growth - 1)))


def smallest_detectable_loss(
    base: Floats,
    candidate: Floats,
    strata: Ints,
    better: Better,
    *,
    servers: Ints | None = None,
    threshold_frac: float,
    level: float,
) -> float | None:
    """The smallest loss that would have been significant with these runs and their spread.

    The candidate is scaled to the base's median, and then by each loss; its relative spread stays
    the same. The larger the loss, the smaller p, so the smallest loss is found by bisection.

    Args:
        base: Aligned values, shape (n,).
        candidate: Aligned values, shape (n,).
        strata: A number per pair of runs.
        better: Which direction is better.
        servers: The server of each pair of runs, as p_better takes it.
        threshold_frac: Least loss that counts.
        level: The level that p has to reach.

    Returns:
        Share of the base, at least the threshold; None if no loss that was tried would have been
        significant, or if a median is 0 or infinite, so that nothing can be scaled.
    """
    medians = middle_of(base), middle_of(candidate)
    if not np.isfinite(medians).all() or min(medians) <= 0:
        return None
    unchanged = candidate * (medians[0] / medians[1])
    sign = 1 if better == "min" else -1

    def is_significant(loss_frac: float) -> bool:
        scaled = unchanged * (1 + sign * loss_frac)
        return reaches(p_better(base, scaled, better, strata, servers), level)

    least, most = max(threshold_frac, _LEAST_LOSS_FRAC), _MOST_LOSS_FRAC[better]
    if least > most or not is_significant(most):
        return None
    losses = _losses(least, most)
    return losses[bisect.bisect_left(losses, True, key=is_significant)]


@lru_cache(maxsize=64)  # most rows of a check have the same
def _losses(least: float, most: float) -> list[float]:
    return [float(loss) for loss in np.geomspace(least, most, _NUM_LOSSES)]
