"""The table that ends bench.train, one row per configuration, and the line that ends a run."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType

from bench.core.outcome import best_value
from bench.core.printable import printable
from bench.core.records.run import RunRecord
from bench.core.records.target import TargetResult
from bench.runs.table.columns import Column, fitted, legend
from bench.runs.table.groups import (
    Finished,
    ending_line,
    flag_notes,
    grouped,
    headline_of,
    incomparable_column,
    naming,
    outcome_column,
)
from bench.runs.table.medians import ABSENT, ENERGY, TIME, quality_text, quantity
from bench.training.columns import train_columns


def sweep_tables(runs: Sequence[Finished], console: Console) -> Sequence[RenderableType]:
    """What the runs came to: a headline, a row per configuration, and what the columns mean.

    Args:
        runs: Records, each with the overrides it was started with.
        console: What it is for: the wider it is, the more columns there are.
    """
    groups = grouped(runs)
    targets = [_target_text(group.runs[0].target) for group in groups]
    common = targets[0] if len(set(targets)) == 1 else None
    columns = [outcome_column(groups, "reached", _outcome, console), incomparable_column(groups)]
    if common is None:
        columns.append(Column(heading="target", cells=targets, rank=1, is_text=True))
    table = fitted(naming(groups, console), [*columns, *train_columns(groups)], console)
    facts = "" if common in (None, ABSENT) else f"target {common}"
    return [
        headline_of("train", runs, groups, console, facts),
        table.table,
        *legend([table], console, *flag_notes([record for _, record in runs])),
    ]


def _target_text(target: TargetResult | None) -> str:
    if target is None:
        return ABSENT
    sign = ">=" if target.mode == "max" else "<="
    return f"{printable(target.metric)} {sign} {target.value:g}"


def _outcome(record: RunRecord) -> str | None:
    """What a run that ended by itself came to; None where it did not get so far."""
    if record.target is not None and record.target.reached:
        return "reached"
    if record.status != "ok":
        return None
    return "ended" if record.target is None else "missed"


def run_line(record: RunRecord) -> str:
    """How a run ended, in one line: `reached accuracy 0.953 >= 0.95 in 0.455 s, 3.57 J`."""
    target = record.target
    if record.status != "ok":
        return ending_line(record)
    if target is None:
        return "ended"
    best = best_value(record)
    if target.reached:
        spent = _spent(target.time_to_target_s, target.energy_to_target_j)
        metric, *bound = _target_text(target).split(" ")
        return " ".join(["reached", metric, *_at_crossing(record, target), *bound, "in", spent])
    spent = _spent(target.censored_at_s, target.censored_at_j)
    near = "no value" if best is None else quality_text(best, target.value)
    return f"missed: best {printable(target.metric)} {near} of {target.value:g}" + (
        f", spent {spent}" if spent else ""
    )


def _at_crossing(record: RunRecord, target: TargetResult) -> list[str]:
    at = record.quality.at if record.quality else None
    value = getattr(record.quality, target.metric) if at == "crossing" else target.best_value
    return [] if value is None else [quality_text(value, target.value)]


def _spent(time_s: float | None, energy_j: float | None) -> str:
    texts = (
        None if time_s is None else quantity(time_s, TIME),
        None if energy_j is None else quantity(energy_j, ENERGY),
    )
    return ", ".join(text for text in texts if text is not None)
