"""Whether the leader of several configurations is really the best, or was only lucky.

Its values made it the leader among all configurations of a column, and a report has many columns.
So a best value is named only if the leader beats every other configuration, at a significance level
that corrects for both choices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.arrays import Floats
from bench.core.metric import Better
from bench.core.stats.ranks import ALPHA, p_better, smallest_p

# Either of two configurations could have led, so a comparison of two has two directions.
_DIRECTIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contender:
    """A configuration in a column.

    Attributes:
        values: Of its comparable runs, misses as the worst.
        comparable: Whether all of its runs are comparable. Only then can it be named the best.
    """

    values: Floats
    comparable: bool


def leader_of(contenders: Sequence[Contender], better: Better) -> int | None:
    """The position of the best median; None if fewer than two contenders have values."""
    sign = 1 if better == "min" else -1
    medians = {
        place: sign * float(np.median(each.values))
        for place, each in enumerate(contenders)
        if len(each.values)
    }
    return min(medians, key=lambda place: medians[place]) if len(medians) > 1 else None


def p_best(contenders: Sequence[Contender], leader: int, better: Better) -> float | None:
    """The p-value of the claim that the leader is better than every other contender.

    It is the largest of the one-sided p-values against the others, since the leader has to beat all
    of them, times two, since its own values made it the leader.

    Args:
        contenders: At least two.
        leader: Of leader_of.
        better: Which direction is better.

    Returns:
        None if no test is possible: the leader or another contender has too few runs for any
        result to be significant, or a run of the leader is not comparable.

    Source: Berger (1982), Multiparameter hypothesis testing and acceptance sampling (the test of
        several hypotheses that must all be rejected); the rank test of bench.core.stats.ranks.
    """
    first = contenders[leader]
    others = [each.values for place, each in enumerate(contenders) if place != leader]
    # The leader must beat all others, so one that cannot be tested decides the matter.
    if not first.comparable or any(
        _least_p(len(first.values), len(values)) >= ALPHA for values in others
    ):
        return None
    largest = max(p_better(first.values, values, better) for values in others)
    return min(1.0, _DIRECTIONS * largest)


def runs_needed(num_columns: int) -> int:
    """The smallest number of runs per configuration with which a best value can be named.

    Args:
        num_columns: Columns that are tested, at least 1; Holm's first step tests at ALPHA divided
            by their number.
    """
    num = 1
    while _least_p(num, num) >= ALPHA / num_columns:
        num += 1
    return num


def _least_p(num_first: int, num_second: int) -> float:
    """The smallest possible p_best with these numbers of runs; infinite if one of them is 0."""
    if not num_first or not num_second:
        return math.inf
    return _DIRECTIONS * smallest_p(num_first, num_second)
