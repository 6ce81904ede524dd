"""The expected cost until the first hit if a new run starts after every run that does not hit."""

from __future__ import annotations

import numpy as np

from analysis.stats.outcomes import Outcomes
from bench.core.arrays import Floats
from bench.core.stats import expected_cost as core
from bench.core.stats.intervals import Estimate


def expected_cost(outcomes: Outcomes) -> Estimate:
    """Estimate the cost until the first hit with restarts (ERT), of runs of one configuration.

    Raises:
        ValueError: There is no run.

    Source: bench.core.stats.expected_cost.expected_cost.
    """
    return core.expected_cost(outcomes.cost, outcomes.hit)


def simulated_restarts(outcomes: Outcomes, *, num_draws: int = 10_000, seed: int = 0) -> Floats:
    """Simulate the cost until the first hit: draw runs, adding up their costs, until one hits.

    Args:
        outcomes: Runs of one configuration, at least one of them a hit, all costs known.
        num_draws: Number of simulations.
        seed: Of the random numbers.

    Returns:
        Costs, shape (num_draws,), unordered. Their mean tends to expected_cost.

    Raises:
        ValueError: No run hit, or a cost is unknown.

    Source: Hansen et al., arXiv 1605.03560, "simulated restarts".
    """
    if outcomes.num_unknown:
        raise ValueError(f"restarts: the cost of {outcomes.num_unknown} runs is unknown")
    if not outcomes.num_hits:
        raise ValueError("restarts: no run hit its target; restarting would never end")
    # A fixed seed, so that a figure is the same each time.
    rng = np.random.default_rng(seed)
    total = np.zeros(num_draws)
    pending = np.arange(num_draws)
    while len(pending):
        drawn = rng.integers(0, len(outcomes), size=len(pending))
        total[pending] += outcomes.cost[drawn]
        # All simulations step together, as arrays: a loop over each of them would be slow.
        pending = pending[~outcomes.hit[drawn]]
    return total
