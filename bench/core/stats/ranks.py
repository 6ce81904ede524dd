"""The rank test of whether one group of runs is better than another; misses rank worst."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from bench.core.arrays import Bools, Floats, Ints
from bench.core.metric import Better

# For each stratum, its ranks from 0 in ascending order, and how many of them the first group has.
_Parts = tuple[tuple[tuple[int, ...], int], ...]

ALPHA = 0.05
# With more runs than this in both groups, the normal approximation: the table of sums grows with
# the fourth power, and takes half a second at 100 against 100.
_MOST_EXACT = 200


def p_better(
    first: Floats,
    second: Floats,
    better: Better,
    strata: Ints | None = None,
    servers: Ints | None = None,
) -> float:
    """One-sided p-value of the rank test that the first group is better than the second.

    p is the share of all ways to assign the values to the groups that are as good for the first:
    exact, ties included, up to 200 runs in all; above, a normal approximation. Ranks are over all
    values, but runs are exchanged within their stratum (seed) only: align the values first.

    Args:
        first: Shape (n,), no NaN; infinite (of the bad sign) for a run that missed.
        second: Shape (m,), likewise.
        better: Which direction is better.
        strata: A number per run of the first group, shape (n,), and of the second, in the same
            order; by default all runs are of one stratum.
        servers: Likewise, the server that each run is from. All runs of a server are exchanged
            together, with those of one that has as many runs of each stratum. By default each run
            is from a server of its own.

    Returns:
        NaN where a group is empty.

    Raises:
        ValueError: A value is NaN.

    Source: Mann and Whitney (1947); Hodges and Lehmann (1962) for strata; Streitberg and Roehmel
        (1986), Exact distributions for permutation and rank tests.
    """
    if not len(first) or not len(second):
        return float("nan")
    values = np.concatenate([first, second]) * (1 if better == "min" else -1)
    if np.isnan(values).any():
        raise ValueError("p_better: NaN is not a value; leave it out and say how many were")
    groups = np.zeros(len(values), np.int64) if strata is None else np.concatenate([strata] * 2)
    inside = [groups == group for group in np.unique(groups)]
    ranks = _ranks(values, inside)
    is_first = np.arange(len(values)) < len(first)
    observed = int(ranks[is_first].sum())
    if servers is not None:
        units = np.concatenate([servers, servers.max() + 1 + servers])
        groups = exchange_classes(groups, units)
        is_first = np.unique(units) <= servers.max()
        ranks = np.array([ranks[units == unit].sum() for unit in np.unique(units)])
        inside = [groups == group for group in np.unique(groups)]
    parts = [(np.sort(ranks[each]), int(is_first[each].sum())) for each in inside]
    if len(values) > _MOST_EXACT:
        return _normal(parts, observed)
    exact = sorted((tuple(part.tolist()), num) for part, num in parts)
    return float(_cumulative(tuple(exact))[observed])


def exchange_classes(strata: Ints, servers: Ints) -> Ints:
    """The class of each server, in the order of their numbers, from 0.

    Servers of one class have as many runs of each stratum. Without a difference between the sides
    they may be exchanged as wholes, whatever all runs of a server have in common.

    Args:
        strata: A number per run, shape (n,).
        servers: The server of each run, shape (n,), from 0.
    """
    contents = [tuple(sorted(strata[servers == each].tolist())) for each in np.unique(servers)]
    numbers = {content: number for number, content in enumerate(sorted(set(contents)))}
    return np.array([numbers[content] for content in contents], np.int64)


def smallest_p(num_first: int, num_second: int) -> float:
    """The smallest p of p_better for these numbers of runs of one stratum.

    Returns:
        One over the number of arrangements: 1/20 for 3 against 3, 1/252 for 5 against 5. With
        several strata, p is at least the product of theirs.
    """
    return 1 / math.comb(num_first + num_second, num_first)


def _ranks(values: Floats, inside: Sequence[Bools]) -> Ints:
    """Mid-ranks over all values as the smallest integers that have their sums in the same order.

    Doubled, mid-ranks are integers (two tied for 1 and 2 have 3); where a stratum begins says
    nothing, nor does a factor that all have in common.
    """
    ordered = np.sort(values)
    ranks: Ints = np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right")
    for each in inside:
        ranks[each] -= ranks[each].min()
    step: Ints = np.gcd.reduce(ranks)
    smallest: Ints = ranks // max(int(step), 1)
    return smallest


@lru_cache(maxsize=256)  # runs without ties have the same ranks, whatever their values
def _cumulative(parts: _Parts) -> Floats:
    """Probability that the first group's sum of ranks is at most s, for s = 0, 1, ..."""
    counts = np.ones(1)
    for ranks, num in parts:
        counts = np.convolve(counts, _choices(ranks, num))
    at_most = np.cumsum(counts)
    shares: Floats = at_most / at_most[-1]
    return shares


def _choices(ranks: tuple[int, ...], num: int) -> Floats:
    """In how many ways `num` of the ranks add up to s, for s from 0 to the sum of all ranks.

    Taking one more rank shifts all sums reached without it by that rank. Only positive numbers are
    added, so rounding does not matter.
    """
    if 2 * num > len(ranks):  # the ranks left behind have the rest of the sum, in as many ways
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
    """Holm's adjusted p-values, in the same order; None stays None and counts as no test.

    Without any difference, the chance that any adjusted value is below a level is at most that
    level, however the tests depend on one another.

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    tested = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    largest = 0.0
    for rank, (p, place) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[place] = largest
    return adjusted
