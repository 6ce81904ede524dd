"""Whether the leader of a race is better than the second, or was only lucky."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.core.arrays import Floats
from bench.core.stats.ranks import p_better
from bench.search.candidate import Candidate
from bench.search.rules import DIRECTIONS, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a look at leader and second has shown.

    Attributes:
        num_seeds: Seeds of each that were compared, without the first.
        p: Of the claim that the leader is better.
        level: At which this look tests.
    """

    num_seeds: int
    p: float
    level: float

    @property
    def is_enough(self) -> bool:
        """Whether the look separates the two."""
        return self.p <= self.level


def evidence_of(leader: Candidate, second: Candidate, rules: Rules) -> Evidence | None:
    """The look that separates two configurations, else the latest one; None before the first.

    Stopped runs of the second count as if they had reached the target when they were stopped, and
    those of the leader as misses, so that what is not known speaks against the leader.
    """
    latest = None
    for latest in _looks(leader, second, rules):
        if latest.is_enough:
            return latest
    return latest


def _looks(leader: Candidate, second: Candidate, rules: Rules) -> Iterator[Evidence]:
    first, others = _further(leader, math.inf), _further(second, 0.0)
    previous = 0
    for num in rules.looks():
        if num > min(len(first), len(others)):
            return
        level = rules.level(num, previous)
        p = DIRECTIONS * p_better(first[:num], others[:num], "min")
        yield Evidence(num_seeds=num, p=min(p, 1.0), level=level)
        previous = num


def _further(candidate: Candidate, stopped: float) -> Floats:
    """Costs of all seeds but the first that follow one another; infinite for a miss.

    Args:
        candidate: Its runs.
        stopped: What a stopped run counts, at least: 0 takes it at its best.
    """
    costs = []
    for seed in range(1, len(candidate.runs) + 1):
        run = candidate.runs.get(seed)
        if run is None:
            break
        least = max(run.spent, stopped) if run.stopped else math.inf
        costs.append(run.spent if run.reached else least)
    return np.array(costs, dtype=np.float64)
