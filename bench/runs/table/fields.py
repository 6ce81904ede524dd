"""Fields of a record by their dotted names, and their medians over the runs of a configuration."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.flat import value_of
from bench.core.metrics import METRICS
from bench.core.records.run import RunRecord
from bench.runs.table.columns import Column, number_column
from bench.runs.table.groups import Group
from bench.runs.table.medians import (
    TIME,
    Cost,
    Median,
    Scale,
    median_cost,
    median_of,
    unit_for,
    value_text,
)

_MS = "_ms"
# What a run that missed its target has spent instead, where the record knows it.
_SPENT = {"time_s": "target.censored_at_s", "energy_j": "target.censored_at_j"}
_TOTAL = "recipe.total_"  # up to the target, with what the run before took
_PERCENTILES = [METRICS[f"serving.latency_{name}_ms"] for name in ("p50", "p90", "p99")]
_ACCURACY = "quality_test.accuracy"


def heading_of(path: str) -> str:
    """What stands above the column of a quantity: its short title, over two even lines.

    Args:
        path: Of a row of the catalogue.
    """
    words = METRICS[path].short.split(" ")
    broken = [" ".join(words[:n]) + "\n" + " ".join(words[n:]) for n in range(len(words), 0, -1)]
    return min(broken, key=lambda text: max(map(len, text.split("\n")))).rstrip()


def number_of(record: RunRecord, name: str) -> float | None:
    """A number of a record in its base unit: seconds for what is stored in milliseconds."""
    value = value_of(record, name)
    return None if value is None else float(value / 1000 if name.endswith(_MS) else value)


def field_median(runs: Sequence[RunRecord], name: str) -> Median | None:
    """The median over the runs that have the field.

    Of what reaching the target takes, it is over all runs with a target: misses and failures are
    the worst.

    Args:
        runs: Of one configuration; of a recipe's fields, those without one do not count.
        name: Dotted path of the field.
    """
    if name.startswith("recipe."):
        runs = [run for run in runs if run.recipe is not None]
    metric = METRICS.get(name)
    censored_by = metric.censored_by if metric is not None else None
    if censored_by is None and not name.startswith(_TOTAL):
        return median_of(number_of(run, name) for run in runs)
    spent = _SPENT.get(censored_by or "")
    return median_cost(
        Cost(
            hit=number_of(run, name),
            spent=number_of(run, spent) if spent else None,
            reached=run.target.reached,
        )
        for run in runs
        if run.target is not None
    )


def field_medians(groups: Sequence[Group], name: str) -> list[Median | None]:
    """A column of them, a row for each configuration."""
    return [field_median(group.measured, name) for group in groups]


def field_column(
    groups: Sequence[Group], name: str, scale: Scale, *, rank: int, note: str = ""
) -> Column:
    """The column of a quantity of the catalogue.

    Args:
        groups: A row for each.
        name: Dotted path of the field.
        scale: Units to choose from.
        rank: Of the column.
        note: For the legend.
    """
    medians = field_medians(groups, name)
    return number_column(heading_of(name), medians, scale, rank=rank, note=note)


def latency_column(groups: Sequence[Group], *, rank: int, note: str = "") -> Column:
    """The percentiles of latency in one column: medians over runs, in one unit."""
    rows = [
        [field_median(group.measured, metric.path) for metric in _PERCENTILES] for group in groups
    ]
    unit = unit_for([each for row in rows for each in row], TIME)
    cells = ["/".join(value_text(each, TIME, unit) for each in row) for row in rows]
    cells = [cell if any(row) else "-" for cell, row in zip(cells, rows, strict=True)]
    heading = " ".join(filter(None, ("latency", unit.name if unit else "")))
    names = "/".join(metric.short for metric in _PERCENTILES)
    return Column(heading=f"{heading}\n{names}", cells=cells, rank=rank, note=note)


def accuracy_column(groups: Sequence[Group], *, rank: int) -> Column:
    """Accuracy on the test split."""
    medians = field_medians(groups, _ACCURACY)
    cells = ["-" if m is None else f"{m.estimate.value:.4f}" for m in medians]
    return Column(heading=heading_of(_ACCURACY), cells=cells, rank=rank)
