"""Columns that the tables of bench.train and of bench.serve have in common."""

from __future__ import annotations

from collections.abc import Sequence

from bench.runs.table.columns import Column
from bench.runs.table.fields import field_median, field_medians
from bench.runs.table.groups import Group
from bench.runs.table.medians import unit_for, value_text
from bench.runs.table.units import TIME

_PERCENTILES = ("p50", "p90", "p99")


def latency_column(groups: Sequence[Group], *, rank: int, note: str = "") -> Column:
    """The percentiles of latency in one column: medians over runs, in one unit."""
    rows = [
        [field_median(group.measured, f"serving.latency_{name}_ms") for name in _PERCENTILES]
        for group in groups
    ]
    unit = unit_for([each for row in rows for each in row], TIME)
    cells = ["/".join(value_text(each, TIME, unit) for each in row) for row in rows]
    cells = [cell if any(row) else "-" for cell, row in zip(cells, rows, strict=True)]
    heading = " ".join(filter(None, ("latency", unit.name if unit else "")))
    return Column(heading=f"{heading}\n{'/'.join(_PERCENTILES)}", cells=cells, rank=rank, note=note)


def accuracy_column(groups: Sequence[Group], *, rank: int) -> Column:
    """Accuracy on the test split."""
    medians = field_medians(groups, "quality_test.accuracy")
    cells = ["-" if m is None else f"{m.estimate.value:.4f}" for m in medians]
    return Column(heading="test\naccuracy", cells=cells, rank=rank)
