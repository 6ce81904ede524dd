"""What a comparison of so many runs could have found, and how many more would settle it."""

from __future__ import annotations

import bisect
import math
from statistics import NormalDist

import numpy as np

from bench.core.arrays import Floats, Ints
from bench.core.metric import Better
from bench.core.stats.ranks import p_better, smallest_p

# Losses that are tried, 3% apart: a cost up to elevenfold, a rate down to a thousandth.
_LEAST_LOSS_FRAC = 1e-4
_MOST_LOSS_FRAC = {"min": 10.0, "max": 0.999}
_NUM_LOSSES = 400


def reaches(p: float, level: float) -> bool:
    """Whether p is at most the level; 1/20 is at most 0.05, however both are rounded."""
    return p <= level * (1 + 1e-9)


def too_few(strata: Ints, *, level: float, min_runs: int) -> int:
    """How many more runs each side needs before any loss could be found; 0 for none.

    With one stratum, more runs are taken to be of it. With several, each further pair is taken to
    be a stratum of its own (a new seed), which halves the smallest p: no other way needs more.

    Args:
        strata: A number per pair of runs.
        level: That p has to reach.
        min_runs: Least number of runs per side.
    """
    more = max(0, min_runs - len(strata))
    while not reaches(_smallest_p_with(strata, more), level):
        more += 1
    return more


def _smallest_p_with(strata: Ints, more: int) -> float:
    _, sizes = np.unique(strata, return_counts=True)
    sizes = sizes + more if len(sizes) == 1 else np.append(sizes, np.ones(more, np.int64))
    return math.prod(smallest_p(int(size), int(size)) for size in sizes)


def runs_to_settle(num: int, *, p: float, level: float) -> int:
    """How many more runs each side needs for p to reach the level, at least one.

    It is assumed that the effect stays as it is seen: then the normal score of p grows with the
    square root of the number of runs.

    Args:
        num: Runs per side.
        p: One-sided, below 0.5 and above the level.
        level: That p has to reach.

    Source: Noether (1987), Sample size determination for some common nonparametric tests.
    """
    normal = NormalDist()
    growth = (normal.inv_cdf(level) / normal.inv_cdf(p)) ** 2
    return max(1, math.ceil(num * (growth - 1)))


def smallest_loss_seen(
    base: Floats,
    candidate: Floats,
    strata: Ints,
    better: Better,
    *,
    threshold_frac: float,
    level: float,
) -> float | None:
    """The smallest loss that would have been found with these runs and their spread.

    The candidate is scaled to the base's median, and then by each loss: its spread stays what it
    is. The larger the loss, the smaller is p, so the smallest one is found by bisection.

    Args:
        base: Aligned values, shape (n,).
        candidate: Aligned values, shape (n,).
        strata: A number per pair of runs.
        better: Which direction is better.
        threshold_frac: Least loss that counts.
        level: That p has to reach.

    Returns:
        Share of the base, at least the threshold; None if none that was tried would have been
        found, or where there is no median to scale to: it is 0, or infinite.
    """
    medians = np.median(base), np.median(candidate)
    if not np.isfinite(medians).all() or min(medians) <= 0:
        return None
    same = candidate * (medians[0] / medians[1])
    sign = 1 if better == "min" else -1

    def seen(loss_frac: float) -> bool:
        return reaches(p_better(base, same * (1 + sign * loss_frac), better, strata), level)

    least, most = max(threshold_frac, _LEAST_LOSS_FRAC), _MOST_LOSS_FRAC[better]
    if least > most or not seen(most):
        return None
    losses = [float(loss) for loss in np.geomspace(least, most, _NUM_LOSSES)]
    return losses[bisect.bisect_left(losses, True, key=seen)]
