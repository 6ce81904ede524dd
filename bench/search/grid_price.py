"""What the whole grid would have cost: an estimate from runs most of which were stopped early.

A stopped run would have cost more than it had spent, but nobody knows how much more. The costs of
configurations are taken to be log-normal. The distribution is fitted to the first seeds: those that
ended count with their cost, those that were stopped as larger than what they had spent (maximum
likelihood with censoring). Its mean beyond that point stands for a stopped run.

Each configuration counts with the number of seeds that the grid has. Seeds that were not run cost
as much as the mean of those that were, and a configuration that was not tried costs as much as the
mean of those that were.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench.core.arrays import Floats
from bench.search.candidate import Candidate, Run

# With fewer costs than this there is no spread to speak of.
_MIN_COMPLETE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPrice:
    """An estimate of what all runs of a grid cost, in the unit of the search's cost.

    Attributes:
        value: The estimate; None with fewer than three runs that ended by themselves.
        least: What they cost at least: what is known of each configuration.
        num_complete: First seeds that ended by themselves.
        num_stopped: First seeds that were stopped.
    """

    value: float | None
    least: float
    num_complete: int
    num_stopped: int


def grid_price(tried: Iterable[Candidate], num_candidates: int, num_seeds: int) -> GridPrice:
    """Estimate what the whole grid costs (module docstring).

    Args:
        tried: Configurations that have runs.
        num_candidates: Configurations of the grid.
        num_seeds: Seeds of each.

    Source: maximum likelihood of a censored normal sample, as scipy.stats.norm.fit; Tobin (1958).
    """
    runs = [list(each.runs.values()) for each in tried if each.runs]
    first = [own[0] for own in runs]
    complete = _logs(run for run in first if not run.stopped)
    stopped = _logs(run for run in first if run.stopped)
    least = num_seeds * math.fsum(_mean(run.spent for run in own) for own in runs)
    counts = {"num_complete": len(complete), "num_stopped": len(stopped)}
    if len(complete) < _MIN_COMPLETE:
        return GridPrice(value=None, least=least, **counts)
    mean, spread = _fit(complete, stopped)
    costs = [
        _mean(_beyond(run.spent, mean, spread) if run.stopped else run.spent for run in own)
        for own in runs
    ]
    return GridPrice(value=num_candidates * num_seeds * _mean(costs), least=least, **counts)


def _logs(runs: Iterable[Run]) -> Floats:
    """Logarithms of costs; what cost nothing, such as a run that failed at once, has none."""
    return np.log([run.spent for run in runs if run.spent > 0])


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)


def _fit(complete: Floats, stopped: Floats) -> tuple[float, float]:
    """Mean and standard deviation of the logarithms."""
    if not len(stopped) or np.ptp(complete) == 0:
        return float(complete.mean()), float(complete.std())
    from scipy.stats import CensoredData, norm

    mean, spread = norm.fit(CensoredData(uncensored=complete, right=stopped))
    return float(mean), float(spread)


def _beyond(spent: float, mean: float, spread: float) -> float:
    """The mean of a log-normal cost that is known to exceed what was spent."""
    if spread == 0:
        return spent
    from scipy.special import log_ndtr

    place = (math.log(spent) - mean) / spread
    share = math.exp(float(log_ndtr(spread - place) - log_ndtr(-place)))
    return max(spent, math.exp(mean + spread**2 / 2) * share)
