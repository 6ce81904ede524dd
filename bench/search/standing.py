"""What a race has shown so far: who leads, on what evidence, and what it has cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.core.stats.expected_cost import expected_cost
from bench.core.stats.intervals import Estimate, median
from bench.search.candidate import Candidate
from bench.search.evidence import Evidence
from bench.search.grid_price import GridPrice, grid_price
from bench.search.race import Race


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A configuration and what is known of its cost.

    Attributes:
        candidate: Its place in the grid.
        ert: The expected cost with restarts, over all its runs. Stopped runs count as misses. Its
            interval, from six runs on, is Student's while no run missed.
        median: Of its runs; stopped runs and misses are the worst.
        num_runs: Seeds that were run.
        num_hits: Those that reached the target.
        num_stopped: Those that the race stopped.
    """

    candidate: int
    ert: Estimate
    median: Estimate
    num_runs: int
    num_hits: int
    num_stopped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The result of a race.

    Attributes:
        winner: None if no run reached the target.
        runner_up: The configuration that may come next, stopped runs taken at their best.
        evidence: That the winner is better than the runner-up; None before the first look.
        is_separated: Whether the evidence is enough.
        spent: By all runs, in the unit of the cost.
        num_unknown: Runs whose cost is not known; `spent` is then a lower bound.
        grid: What the whole grid would have cost.
    """

    winner: Placed | None
    runner_up: Placed | None
    evidence: Evidence | None
    is_separated: bool
    spent: float
    num_unknown: int
    grid: GridPrice


def standing(race: Race, num_candidates: int, num_seeds: int) -> Standing:
    """Say what a race has shown so far.

    Args:
        race: Over, or still under way.
        num_candidates: Configurations of the whole grid.
        num_seeds: Seeds of each in the whole grid, for its price.
    """
    leader, second, evidence = race.leader(), race.second(), race.evidence()
    return Standing(
        winner=None if leader is None else _placed(leader),
        runner_up=None if leader is None or second is None else _placed(second),
        evidence=evidence,
        is_separated=evidence is not None and evidence.is_enough,
        spent=race.spent,
        num_unknown=race.num_unknown,
        grid=grid_price(race.candidates.values(), num_candidates, num_seeds),
    )


def _placed(candidate: Candidate) -> Placed:
    cost, reached = candidate.outcomes()
    return Placed(
        candidate=candidate.place,
        ert=expected_cost(cost, reached, misses=False),
        median=median(np.where(reached, cost, np.inf)),
        num_runs=candidate.num_runs,
        num_hits=candidate.num_hits,
        num_stopped=candidate.num_stopped,
    )
