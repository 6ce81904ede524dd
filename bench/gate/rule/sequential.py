"""Test several times while runs are still being made, at one rate of false alarms.

Each look may spend a part of alpha. The part spent by n runs per side grows linearly with n, and a
look tests at what it adds to the look before it. By the union bound, the chance of a false alarm in
any look is at most alpha, however the looks depend on one another. They share runs, so it is lower.
Boundaries that use this dependence would need its distribution, which is not known for twelve
metrics of one run.

Source: Lan and DeMets (1983), Discrete sequential boundaries for clinical trials; Kim and DeMets
    (1987) for spending functions that are a power of the share of runs, here the first.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.gate.model import GateRow


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


def is_open(rows: Sequence[GateRow]) -> bool:
    """Whether a loss that counts is neither found nor excluded, so that more runs may decide.

    Stopping early because a loss is excluded only removes looks: it cannot raise the chance of a
    false alarm.

    Args:
        rows: Of the gate, at the latest look.

    Returns:
        False once there is a regression. Otherwise True while a measured row is underpowered, or
        the interval of its ratio reaches a loss that counts, or has no bound on that side. Rows
        that are not judged are left out.
    """
    if any(row.verdict == "regression" for row in rows):
        return False
    measured = (row for row in rows if row.kind == "measured" and row.verdict != "not judged")
    return any(row.verdict == "underpowered" or not _is_excluded(row) for row in measured)


def _is_excluded(row: GateRow) -> bool:
    """Whether even the bad end of the interval is a smaller loss than the least that counts.

    With too few runs there is only their range, which excludes nothing.
    """
    if row.ratio is None or row.ratio.kind != "interval":
        return False
    worst = row.ratio.high if row.metric.better == "min" else row.ratio.low
    if worst is None:
        return False
    loss_frac = worst - 1 if row.metric.better == "min" else 1 - worst
    return loss_frac < row.threshold_frac
