"""Test several times while runs are still being made, at one rate of false alarms.

Each look may spend a part of alpha. The part spent by n runs per side grows linearly with n, and a
look tests at what it adds to the look before it. By the union bound, the chance of a false alarm in
any look is at most alpha, however the looks depend on one another. They share runs, so it is lower.
Boundaries that use this dependence would need its distribution, which is not known for twelve
metrics of one run. For the same reason, intervals at the confidence that a look leaves hold all
together, so one may stop at any look and report its interval.

Source: Lan and DeMets (1983), Discrete sequential boundaries for clinical trials; Kim and DeMets
    (1987) for spending functions that are a power of the share of runs, here the first; Jennison
    and Turnbull (1989) for repeated confidence intervals.
"""

from __future__ import annotations

import math


def level_at(num_runs: int, *, previous: int, max_runs: int, alpha: float) -> float:
    """The level at which a look tests.

    Args:
        num_runs: Runs per side at this look.
        previous: Runs per side at the look before; 0 at the first.
        max_runs: Runs per side at the last look.
        alpha: Level of all looks together.

    Raises:
        ValueError: Looks do not come in order, or go beyond max_runs.
    """
    if not 0 <= previous < num_runs <= max_runs:
        raise ValueError(
            f"a look at {num_runs} runs after one at {previous} of max_runs={max_runs}: "
            "each must have more runs than the one before, and none more than max_runs"
        )
    return alpha * (num_runs - previous) / max_runs


def look_sizes(first: int, max_runs: int, growth: float = 1.6) -> list[int]:
    """Numbers of runs at which to look: each grows by the same factor, and the last is max_runs.

    Few looks leave each of them more of alpha, and far looks are worth more than near ones.

    Args:
        first: Of the first look.
        max_runs: Of the last look.
        growth: From one look to the next; the last step is between this and its square.

    Returns:
        Empty if not even the first look is possible.
    """
    sizes: list[int] = []
    size = first
    while size * growth**0.5 < max_runs:
        sizes.append(size)
        size = math.ceil(size * growth)
    return [*sizes, max_runs] if first <= max_runs else []
