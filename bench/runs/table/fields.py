"""Columns of fields of the record: medians over the runs of a configuration, by dotted names.

Joules never stand without how they were obtained (their label) and a bound on their error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bench.core.flat import value_of
from bench.core.metrics import METRICS, metric_at
from bench.core.printable import printable
from bench.core.quality_rows import is_quality
from bench.core.records.run import RunRecord
from bench.core.scales import ENERGY, TIME, Scale
from bench.runs.table.columns import Column, number_column, shared_text, shortened
from bench.runs.table.groups import Group
from bench.runs.table.medians import Median, median_cost, median_of, unit_for, value_text

_MS = "_ms"
_LONGEST_WORD = 16  # characters of a heading; a user's own metric may have any name
_VOWELS = tuple("aeiou")
# The field that says what a run spent if it missed its target, where the record has one.
_SPENT = {"time_s": "target.censored_at_s", "energy_j": "target.censored_at_j"}
_TOTAL = "recipe.total_"  # up to the target, including the run that the recipe builds on
_PERCENTILES = ("p50", "p90", "p99")
_MIXED = "mixed"


def heading_of(path: str) -> str:
    """The short title of a quantity, broken into two even lines."""
    words = [shortened(word, _LONGEST_WORD) for word in printable(metric_at(path).short).split(" ")]
    broken = [" ".join(words[:n]) + "\n" + " ".join(words[n:]) for n in range(len(words), 0, -1)]
    return min(broken, key=lambda text: max(map(len, text.split("\n")))).rstrip()


def number_of(record: RunRecord, name: str) -> float | None:
    """Read a number of a record in its base unit: milliseconds become seconds."""
    value = value_of(record, name)
    if value is None:
        return None
    # A user's own metric may have any name.
    return float(value / 1000 if name.endswith(_MS) and not is_quality(name) else value)


def field_median(runs: Sequence[RunRecord], name: str) -> Median | None:
    """Take the median of a field over the runs that have it.

    A cost of reaching the target counts all runs with a target: misses and failures are the worst.

    Args:
        runs: The runs of one configuration. Fields of a recipe only count runs with a recipe.
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
        [
            (number_of(run, name), number_of(run, spent) if spent else None)
            for run in runs
            if run.target is not None
            # A run that reached its target without a known cost says nothing.
            and (not run.target.reached or number_of(run, name) is not None)
        ]
    )


def field_medians(groups: Sequence[Group], name: str) -> list[Median | None]:
    """The median of a field for each configuration."""
    return [field_median(group.measured, name) for group in groups]


def field_column(
    groups: Sequence[Group], name: str, scale: Scale, *, rank: int, note: str = ""
) -> Column:
    """Make the column of a quantity of the catalogue.

    Args:
        groups: One row for each.
        name: Dotted path of the field.
        scale: Units to choose from.
        rank: The rank of the column.
        note: A sentence for the legend.
    """
    medians = field_medians(groups, name)
    return number_column(heading_of(name), medians, scale, rank=rank, note=note)


def formatted_column(
    groups: Sequence[Group], name: str, spec: str, *, rank: int, note: str = ""
) -> Column:
    """Make the column of a quantity without a scale, such as an accuracy or a loss.

    Args:
        groups: One row for each.
        name: Dotted path of the field.
        spec: Python's format of the numbers, such as `.4f`.
        rank: The rank of the column.
        note: A sentence for the legend.
    """
    medians = field_medians(groups, name)
    cells = ["-" if each is None else format(each.estimate.value, spec) for each in medians]
    return Column(heading=heading_of(name), cells=cells, rank=rank, note=note)


def quality_column(groups: Sequence[Group], name: str, *, rank: int) -> Column:
    """Make the column of a quality of any task: a fraction has four decimals.

    Args:
        groups: One row for each.
        name: Dotted path, such as `quality_test.rmse`.
        rank: The rank of the column.
    """
    spec = ".4f" if metric_at(name).unit == "fraction" else ".4g"
    return formatted_column(groups, name, spec, rank=rank)


def sample_note(groups: Sequence[Group]) -> str:
    """What a sample of these runs is, for the legend; empty for images and unknown samples."""
    kinds = {run.task.sample for group in groups for run in group.runs if run.task}
    samples = sorted(printable(kind) for kind in kinds - {"sample"})  # nobody knows that one
    if samples in ([], ["image"]):
        return ""
    words = [f"{'an' if name[:1] in _VOWELS else 'a'} {name}" for name in samples]
    return f"A sample is {' or '.join(words)}."


def latency_column(
    groups: Sequence[Group], name: str = "latency", *, rank: int, note: str = ""
) -> Column:
    """Make one column of the percentiles of latency: medians over runs, in one unit.

    Args:
        groups: One row for each.
        name: `latency`, or another time whose percentiles a serving has, such as `ttft`.
        rank: The rank of the column.
        note: A sentence for the legend.
    """
    percentiles = [(each, f"serving.{name}_{each}_ms") for each in _PERCENTILES]
    rows = [[field_median(group.measured, path) for _, path in percentiles] for group in groups]
    unit = unit_for([each for row in rows for each in row], TIME)
    cells = ["/".join(value_text(each, TIME, unit) for each in row) for row in rows]
    cells = [cell if any(row) else "-" for cell, row in zip(cells, rows, strict=True)]
    title = name if name == "latency" else name.upper()
    heading = " ".join(filter(None, (title, unit.name if unit else "")))
    names = "/".join(_PERCENTILES)
    return Column(heading=f"{heading}\n{names}", cells=cells, rank=rank, note=note)


class Joules(NamedTuple):
    """The joules of one configuration.

    Attributes:
        median: None if nothing is known, or if its runs have joules of different kinds, which
            are not summarised together.
        label: `(counter)` and the like, `(mixed)`, or empty.
        bound: The largest bound of the systematic error, such as `±5.1%`, or empty.
    """

    median: Median | None
    label: str = ""
    bound: str = ""


def joules_of(groups: Sequence[Group], name: str, label: str = "") -> list[Joules]:
    """Summarise the joules of each configuration.

    Args:
        groups: The configurations.
        name: Dotted path of the joules.
        label: The field that holds their label; by default the one that the catalogue names.
    """
    metric = METRICS[name]
    label = label or (metric.joules.label if metric.joules else "")
    # A run that missed its target has no error of its own there, so that of the whole run counts.
    errors = (metric.error, label.replace("_label", "_error_frac")) if metric.error else ()
    return [_joules(group.measured, name, label, errors) for group in groups]


def _joules(runs: Sequence[RunRecord], name: str, label: str, errors: Sequence[str]) -> Joules:
    labels = {value_of(run, label) for run in runs} - {None}
    components = {tuple(sorted(row.component for row in run.energy)) for run in runs} - {()}
    if len(labels) > 1 or len(components) > 1:
        return Joules(None, label=f"({_MIXED})")
    median = field_median(runs, name)
    if median is None:
        return Joules(None)
    bounds = [next(filter(None, (value_of(run, path) for path in errors)), None) for run in runs]
    most = max((bound for bound in bounds if bound is not None), default=None)
    return Joules(
        median,
        label="".join(f"({each})" for each in labels),
        # Two digits: more would look like a measured error, and this is a bound.
        bound="" if most is None else f"±{float(f'{most * 100:.2g}'):g}%",
    )


def joules_column(heading: str, joules: Sequence[Joules], *, rank: int, note: str = "") -> Column:
    """Make a column of joules; a label or bound that all rows share is in its heading."""
    labels, bounds = [each.label for each in joules], [each.bound for each in joules]
    if f"({_MIXED})" in labels:
        note = f"{note} mixed: joules of different kinds have no median.".strip()
    else:
        heading, labels = shared_text(heading, labels)
        heading, bounds = shared_text(heading, bounds)
    suffixes = [" ".join(filter(None, pair)) for pair in zip(bounds, labels, strict=True)]
    medians = [each.median for each in joules]
    return number_column(heading, medians, ENERGY, rank=rank, note=note, suffixes=suffixes)
