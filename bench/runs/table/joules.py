"""Columns of joules: never without how they were obtained and how far they may be off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.core.flat import value_of
from bench.core.labels import EnergyLabel
from bench.core.metrics import METRICS
from bench.core.records.run import RunRecord
from bench.runs.table.columns import Column, number_column
from bench.runs.table.fields import field_median
from bench.runs.table.groups import Group
from bench.runs.table.medians import ENERGY, Median

_MIXED = "mixed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Joules:
    """The joules of one configuration.

    Attributes:
        median: None where nothing is known, or where its runs have joules of different kinds,
            which are not summarised together.
        label: How they were obtained, or `mixed`.
        error_frac: The largest bound of the systematic error.
    """

    median: Median | None
    label: str | None
    error_frac: float | None


def joules_of(groups: Sequence[Group], name: str, label: str = "") -> list[Joules]:
    """The joules of each configuration.

    Args:
        groups: Their runs.
        name: Dotted path of the joules.
        label: Field that says how the joules of a run were obtained; by default that of the
            catalogue.
    """
    metric = METRICS[name]
    label = label or (metric.joules.label if metric.joules else "")
    # The error of a target that was missed is that of the whole run.
    errors = (metric.error, label.replace("_label", "_error_frac")) if metric.error else ()
    return [_joules(group.measured, name, label, errors) for group in groups]


def _joules(runs: Sequence[RunRecord], name: str, label: str, errors: Sequence[str]) -> Joules:
    labels: set[EnergyLabel] = {value_of(run, label) for run in runs} - {None}
    components = {tuple(sorted(row.component for row in run.energy)) for run in runs} - {()}
    if len(labels) > 1 or len(components) > 1:
        return Joules(median=None, label=_MIXED, error_frac=None)
    median = field_median(runs, name)
    bounds = [next(filter(None, (value_of(run, path) for path in errors)), None) for run in runs]
    return Joules(
        median=median,
        label=next(iter(labels), None) if median else None,
        error_frac=max((bound for bound in bounds if bound is not None), default=None),
    )


def joules_column(heading: str, joules: Sequence[Joules], *, rank: int, note: str = "") -> Column:
    """The column; the label and the bound are in its heading where all rows have the same."""
    labels = {each.label for each in joules} - {None}
    if _MIXED in labels:
        note = f"{note} mixed: joules of different kinds have no median.".strip()
    parts: list[list[str]] = [[], *([] for _ in joules)]  # of the heading, then of each row
    for texts in ([_bound(each) for each in joules], [_label(each) for each in joules]):
        if len(set(texts) - {""}) == 1 and _MIXED not in labels:
            parts[0].append(max(texts))
        else:
            for row, text in zip(parts[1:], texts, strict=True):
                row.append(text)
    lines = [heading, *reversed(parts[0])]
    medians = [each.median for each in joules]
    suffixes = [" ".join(filter(None, row)) for row in parts[1:]]
    return number_column("\n".join(lines), medians, ENERGY, rank=rank, note=note, suffixes=suffixes)


def _bound(joules: Joules) -> str:
    """`±5.1%`: two digits, since it is a bound."""
    if joules.error_frac is None or joules.median is None:
        return ""
    return f"±{float(f'{joules.error_frac * 100:.2g}'):g}%"


def _label(joules: Joules) -> str:
    return f"({joules.label})" if joules.label else ""
