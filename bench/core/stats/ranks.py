"""Whether one group of runs is better than another, with misses as the worst of all ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np

from bench.core.arrays import Bools, Floats, Ints

# Of each stratum, its ranks from 0 in ascending order, and how many of them one group has.
_Parts = tuple[tuple[tuple[int, ...], int], ...]

ALPHA = 0.05
# With more runs than this in both groups, the normal approximation: the table of sums grows with
# the fourth power, and takes half a second at 100 against 100.
_MOST_EXACT = 200


def p_better(
    first: Floats,
    second: Floats,
    better: Literal["min", "max"],
    strata: Ints | None = None,
) -> float:
    """One-sided p-value of the rank test that the first group is better than the second.

    The share of all arrangements that are as good for the first group, given the values that there
    are: exact, ties included, up to 200 runs in both groups; above, by the normal approximation
    with the same mean and variance. 3 runs against 3 reach 1/20 at best, 4 against 4 reach 1/70.

    With strata (seeds, say), ranks are over all values, but a run is exchanged with those of its
    stratum only. Values should then be aligned: comparable across strata.

    Args:
        first: Shape (n,), no NaN; infinite (of the bad sign) for a run that missed.
        second: Shape (m,), likewise.
        better: Which direction is better.
        strata: Numbers of the strata of the first group's runs, shape (n,); the second has as many
            runs, of the same strata in the same order. By default all runs are of one.

    Returns:
        NaN where a group is empty.

    Raises:
        ValueError: A value is NaN.

    Source: Mann and Whitney (1947); Hodges and Lehmann (1962) for strata; the exact distribution is
        that of Streitberg and Roehmel (1986), Exact distributions for permutation and rank tests.
    """
    if not len(first) or not len(second):
        return float("nan")
    values = np.concatenate([first, second]) * (1 if better == "min" else -1)
    if np.isnan(values).any():
        raise ValueError("p_better: NaN is not a value; leave it out and say how many were")
    groups = np.zeros(len(values), np.int64) if strata is None else np.tile(strata, 2)
    inside = [groups == group for group in np.unique(groups)]
    ranks = _ranks(values, inside)
    is_first = np.arange(len(values)) < len(first)
    observed = int(ranks[is_first].sum())
    if len(values) > _MOST_EXACT:
        return _normal([(ranks[each], int(is_first[each].sum())) for each in inside], observed)
    parts = sorted(
        (tuple(np.sort(ranks[each]).tolist()), int(is_first[each].sum())) for each in inside
    )
    return float(_cumulative(tuple(parts))[observed])


def smallest_p(num_first: int, num_second: int) -> float:
    """The smallest p of p_better for so many runs of one stratum: all of the first are better.

    Returns:
        One over the number of arrangements: 1/252 for 5 against 5. That of several strata is the
        product of theirs.
    """
    return 1 / math.comb(num_first + num_second, num_first)


def _ranks(values: Floats, inside: Sequence[Bools]) -> Ints:
    """Mid-ranks over all values as the smallest integers that have their sums in the same order.

    Doubled, mid-ranks are integers (two tied for 1 and 2 have 3); where a stratum begins says
    nothing, nor does a factor that all have in common.
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Ints = (2 * np.cumsum(counts) - counts + 1)[place]
    for each in inside:
        ranks[each] -= ranks[each].min()
    step: Ints = np.gcd.reduce(ranks)
    smallest: Ints = ranks // max(int(step), 1)
    return smallest


@lru_cache(maxsize=256)  # runs without ties have the same ranks, whatever their values
def _cumulative(parts: _Parts) -> Floats:
    """Probability that the sum of a group's ranks is at most so much, by the sum, from 0 on."""
    counts = np.ones(1)
    for ranks, num in parts:
        counts = np.convolve(counts, _choices(ranks, num))
    at_most = np.cumsum(counts)
    shares: Floats = at_most / at_most[-1]
    return shares


def _choices(ranks: tuple[int, ...], num: int) -> Floats:
    """In how many ways so many of the ranks have each sum, from 0 to the sum of all: by shifting.

    Taking one more rank shifts what could be reached without it by that rank. Only additions of
    positive numbers: floating point loses nothing that matters.
    """
    if 2 * num > len(ranks):  # what is left behind has the rest of the sum, in as many ways
        return _choices(ranks, len(ranks) - num)[::-1]
    counts = np.zeros((num + 1, sum(ranks) + 1))
    counts[0, 0] = 1
    reached = 0
    for taken, rank in enumerate(ranks):
        most = min(taken + 1, num)
        counts[1 : most + 1, rank : reached + rank + 1] += counts[:most, : reached + 1]
        reached += rank
    return np.asarray(counts[num])


def _normal(parts: Sequence[tuple[Ints, int]], observed: int) -> float:
    """The normal approximation, with a correction of half a step for continuity."""
    mean, variance = 0.0, 0.0
    for ranks, num in parts:
        mean += num * ranks.mean()
        if len(ranks) > 1:
            variance += num * (len(ranks) - num) * ranks.var(ddof=1) / len(ranks)
    if variance == 0:
        return 1.0
    return NormalDist().cdf((observed + 0.5 - mean) / math.sqrt(variance))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values, in the same order; None stays None and is not counted.

    The chance that any of the adjusted values is below a level although there is no difference is
    at most that level, however the tests depend on one another.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = largest
    return adjusted
