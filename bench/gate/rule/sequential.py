"""Whether a gate that looks several times needs more runs (bench.core.stats.looks)."""

from __future__ import annotations

from collections.abc import Sequence

from bench.gate.model import GateRow


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
