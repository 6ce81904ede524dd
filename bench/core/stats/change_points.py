"""Change points of a series: after which of its values the distribution is another one.

E-divisive: the series is split where the energy distance between both parts is largest, the split
is kept if random orders of the same values hardly ever give one as large, and each part is then
split in turn. Nothing is assumed about the distribution, and a slow rise is found as a change in
its middle.

Source: Matteson and James (2014), A nonparametric approach for multiple change point analysis of
multivariate data; as in Daly et al. (2020), The use of change point detection to identify software
performance regressions in a continuous integration system, both parts end where the series does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from bench.core.arrays import Floats, Ints

# Fewer values could not tell a change from one odd value.
MIN_SEGMENT = 3
# A p-value at the level is then decided by four orders or more.
_ORDERS_PER_LEVEL = 4
_LEAST_ORDERS = 999
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePoint:
    """Where a series changes.

    Attributes:
        index: Of the first value after the change.
        start: Of the first value that it is compared with: the series' own, or that after the
            change before.
        stop: One past the last value after the change: the next change, or the end.
        p: The share of random orders, this one included, with a split as good.
    """

    index: int
    start: int
    stop: int
    p: float


class _Split(NamedTuple):
    left: int  # number of values before it
    gain: float


def change_points(values: Sequence[float] | Floats, *, level: float) -> list[ChangePoint]:
    """Find the change points of a series, in its order.

    The same series gives the same answer: the random orders are seeded.

    Args:
        values: Shape (n,), finite, in the order in which they came.
        level: Significance level of each split. If nothing changes, this is the chance of finding
            any change point.

    Raises:
        ValueError: A value is not finite, or the level is not between 0 and 1.
    """
    series = np.asarray(values, dtype=np.float64)
    if not np.isfinite(series).all():
        raise ValueError("change_points: all values must be finite")
    if not 0 < level < 1:
        raise ValueError(f"change_points: level={level}: must be between 0 and 1")
    random = np.random.default_rng(_SEED)
    found: dict[int, float] = {}
    waiting = [(0, len(series))]
    while waiting:
        start, stop = waiting.pop()
        split = _best_split(series[start:stop])
        if split is None:
            continue
        p = _p_value(series[start:stop], split.gain, level, random)
        if p <= level:
            index = start + split.left
            found[index] = p
            waiting += [(start, index), (index, stop)]
    bounds = [0, *sorted(found), len(series)]
    return [
        ChangePoint(index=index, start=start, stop=stop, p=found[index])
        for start, index, stop in zip(bounds, bounds[1:], bounds[2:], strict=False)
    ]


def _best_split(series: Floats) -> _Split | None:
    """The split of the largest energy distance; None if none is positive, or too few values."""
    n = len(series)
    if n < 2 * MIN_SEGMENT:
        return None
    # sums[i, j]: of the distances between the first i values and the first j.
    sums = np.abs(series[:, None] - series[None, :]).cumsum(axis=0).cumsum(axis=1)
    left, pairs, pairs_left, pairs_right = _sizes(n)
    splits = slice(left[0] - 1, left[-1])
    within_left = sums.diagonal()[splits]
    across = sums[splits, -1] - within_left
    within_right = sums[-1, -1] - 2 * across - within_left
    # Each pair within a part is in its sum twice.
    energy = 2 * across / pairs - within_left / pairs_left - within_right / pairs_right
    gains = pairs / n * energy
    best = int(gains.argmax())
    return _Split(int(left[best]), float(gains[best])) if gains[best] > 0 else None


@lru_cache(maxsize=1)  # all random orders of a series have the same
def _sizes(n: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Values before each split; pairs of values across it, and in order before and after it."""
    left = np.arange(MIN_SEGMENT, n - MIN_SEGMENT + 1)
    right = n - left
    return left, left * right, left * (left - 1), right * (right - 1)


def _p_value(series: Floats, gain: float, level: float, random: np.random.Generator) -> float:
    """The share of random orders whose best split gains as much; ends once it exceeds the level."""
    num_orders = max(_LEAST_ORDERS, math.ceil(_ORDERS_PER_LEVEL / level) - 1)
    # Sums in another order differ in their last digits.
    least = gain * (1 - 1e-9)
    num_as_good = 1
    for _ in range(num_orders):
        split = _best_split(random.permutation(series))
        num_as_good += split is not None and split.gain >= least
        if num_as_good > level * (num_orders + 1):
            break
    return num_as_good / (num_orders + 1)
