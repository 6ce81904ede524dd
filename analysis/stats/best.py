"""Whether the best of several configurations is the best, or only happened to come out first.

The leader of a column was chosen because of its values, among all configurations of the column, and
a report has many columns. A best value is therefore named only if the leader beats every other
configuration, at a level that allows for both choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.arrays import Floats
from bench.core.metric import Better
from bench.core.stats.ranks import ALPHA, p_better, smallest_p

# The leader may be any of the configurations: the two directions of a test of two of them.
_DIRECTIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contender:
    """A configuration in a column.

    Attributes:
        values: Of its runs that were comparable, misses as the worst.
        comparable: Whether all of its runs were. A best value that rests on others is none.
    """

    values: Floats
    comparable: bool


def leader_of(contenders: Sequence[Contender], better: Better) -> int | None:
    """The place of the best median; None where fewer than two have values."""
    sign = 1 if better == "min" else -1
    medians = {
        place: sign * float(np.median(each.values))
        for place, each in enumerate(contenders)
        if len(each.values)
    }
    return min(medians, key=lambda place: medians[place]) if len(medians) > 1 else None


def p_best(contenders: Sequence[Contender], leader: int, better: Better) -> float | None:
    """The p-value that the leader is better than every other contender.

    It is twice the largest of the one-sided p-values against each of the others: the leader has to
    beat all of them, and it was the values that chose it.

    Args:
        contenders: At least two.
        leader: Of leader_of.
        better: Which direction is better.

    Returns:
        None where it cannot be said: the leader or one of the others has too few runs for any
        values to be significant, or runs of the leader were not comparable.

    Source: Berger (1982), Multiparameter hypothesis testing and acceptance sampling (the test of
        several hypotheses that must all be rejected); the rank test of bench.core.stats.ranks.
    """
    own = contenders[leader]
    others = [each.values for place, each in enumerate(contenders) if place != leader]
    if not own.comparable or any(_least_p(len(own.values), len(each)) >= ALPHA for each in others):
        return None
    largest = max(p_better(own.values, each, better) for each in others)
    return min(1.0, _DIRECTIONS * largest)


def runs_needed(num_columns: int) -> int:
    """Runs of each configuration from which a best value can be named at all.

    Args:
        num_columns: Columns that are tested, at least 1; Holm's first step tests at ALPHA over
            their number.
    """
    num = 1
    while _least_p(num, num) >= ALPHA / num_columns:
        num += 1
    return num


def _least_p(num_first: int, num_second: int) -> float:
    """The smallest p_best of this many runs against this many; not below 1 for none."""
    if not num_first or not num_second:
        return math.inf
    return _DIRECTIONS * smallest_p(num_first, num_second)
