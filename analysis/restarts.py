"""What it takes until the first hit if one starts again after every run that does not hit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analysis.outcomes import Outcomes
from bench.core.intervals import CONFIDENCE, NUM_RESAMPLES, Estimate, estimate_of

Floats = npt.NDArray[np.float64]


def expected_cost(
    outcomes: Outcomes,
    *,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Expected cost until the first hit with restarts (ERT), with its bootstrap interval.

    With hit rate p it is

        mean cost of hits + (1 - p) / p * mean cost of the others

    which is the cost of all runs together / number of hits. A run that failed, or was interrupted,
    counts as one that did not hit, at its cost. Without a hit it is infinite (None), and so is the
    upper bound where too many resamples hold no hit: unbounded_frac says how many did not.

    Args:
        outcomes: Runs of one configuration, at least one. It is None where a cost is not known.
        confidence: Of the interval, by resampling runs.
        num_resamples: Number of resamples.
        seed: Of the resampling.

    Raises:
        ValueError: There is no run.

    Source: Auger and Hansen (CEC 2005), "Performance evaluation of an advanced local search
        evolutionary algorithm"; Hansen et al., "COCO: performance assessment", arXiv 1605.03560,
        section 4 (average running time).
    """
    num = len(outcomes)
    if not num:
        raise ValueError("expected cost: no runs")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, num, size=(num_resamples, num))
    with np.errstate(divide="ignore"):
        resampled = outcomes.cost[drawn].sum(axis=1) / outcomes.hit[drawn].sum(axis=1)
        value = float(outcomes.cost.sum() / np.float64(outcomes.num_hits))
    if outcomes.num_unknown:
        return Estimate(value=None, low=None, high=None, num=num, unbounded_frac=1.0)
    return estimate_of(value, resampled, num, confidence)


def simulated_restarts(outcomes: Outcomes, *, num_draws: int = 10_000, seed: int = 0) -> Floats:
    """The cost until the first hit, many times over: runs are drawn until one of them hit.

    Args:
        outcomes: Runs of one configuration, at least one of them a hit, all costs known.
        num_draws: How often.
        seed: Of the drawing.

    Returns:
        Costs, shape (num_draws,), unordered. Their mean tends to expected_cost.

    Raises:
        ValueError: No run hit, or a cost is not known.

    Source: Hansen et al., arXiv 1605.03560, "simulated restarts".
    """
    if outcomes.num_unknown:
        raise ValueError(f"restarts: the cost of {outcomes.num_unknown} runs is not known")
    if not outcomes.num_hits:
        raise ValueError("restarts: no run hit its target; restarting would never end")
    rng = np.random.default_rng(seed)
    total = np.zeros(num_draws)
    open_ = np.arange(num_draws)
    while len(open_):
        drawn = rng.integers(0, len(outcomes), size=len(open_))
        total[open_] += outcomes.cost[drawn]
        open_ = open_[~outcomes.hit[drawn]]
    return total
