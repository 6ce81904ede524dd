"""The table that ends bench.train, one row per configuration, and the line that ends a run.

Every number of the table is a median over repeats.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, RenderableType

from bench.core.flat import value_of
from bench.core.metrics import METRICS
from bench.core.outcome import best_value
from bench.core.printable import printable
from bench.core.quality_rows import TEST
from bench.core.records.run import RunRecord
from bench.core.records.target import TargetResult
from bench.core.scales import ABSENT, BYTES, COUNT, ENERGY, PERCENT, RATE, TIME, Unit, quantity
from bench.runs.table.columns import (
    Column,
    fit_table,
    legend,
    number_column,
    shared_text,
    shortened,
    spread_column,
)
from bench.runs.table.fields import (
    field_column,
    field_medians,
    heading_of,
    joules_column,
    joules_of,
    latency_column,
    quality_column,
    sample_note,
)
from bench.runs.table.groups import (
    Finished,
    Group,
    ending_line,
    flag_notes,
    group_runs,
    headline,
    incomparable_column,
    name_columns,
    outcome_column,
)
from bench.runs.table.medians import quality_text, unit_for
from bench.runs.table.nodes import node_columns, node_notes
from bench.runs.table.selection import rank_of, select_rows

# What each recipe calls the run that it builds on.
_SOURCES = {"distill": "teacher", "prune": "base run"}
_SINGLE = "(a, b]: the last evaluation that missed and the first that hit the target."
_TIME_S, _ENERGY_J = "target.time_to_target_s", "target.energy_to_target_j"
_LONGEST_METRIC = 16  # characters of a heading; a user's own metric may have any name
_EACH_J, _RATE = "target.energy_per_sample_j", "serving.throughput_per_s"
_TTA, _ETA = METRICS[_TIME_S].short, METRICS[_ENERGY_J].short
# The fields that sweep.csv has for trainings only.
SWEEP_COLUMNS = (
    "target.reached",
    "target.best_value",
    "target.metric",
    "target.value",
    "target.time_to_target_s",
    "target.last_miss_s",
    "target.censored_at_s",
    "target.energy_to_target_j",
    "target.energy_to_target_error_frac",
    "target.censored_at_j",
    "target.cut_off_by",
    "target.samples_to_target",
    "target.time_per_sample_s",
    "target.energy_per_sample_j",
    "target.cost_to_target_usd",
    "target.emissions_to_target_gco2e",
    "recipe.source_time_s",
    "recipe.total_time_to_target_s",
    "recipe.source_energy_j",
    "recipe.source_energy_label",
    "recipe.total_energy_to_target_j",
    "recipe.total_energy_label",
)


def sweep_tables(runs: Sequence[Finished], console: Console) -> Sequence[RenderableType]:
    """Show the runs: a headline, a row per configuration, and what the columns mean.

    Of many configurations, the table shows those with the smallest and the largest TTA.

    Args:
        runs: Records, each with the overrides it was started with.
        console: Where the table is printed; a wider one shows more columns.
    """
    groups = group_runs(runs)
    targets = {_target_text(group.runs[0].target) for group in groups}
    ranks = [rank_of(_TTA, median) for median in field_medians(groups, _TIME_S)]
    rows, gaps, note = select_rows(groups, ranks)
    columns = [outcome_column(rows, "reached", _outcome, console), incomparable_column(rows)]
    columns += node_columns(rows)
    if len(targets) > 1:
        cells = [_target_text(group.runs[0].target) for group in rows]
        columns.append(Column(heading="target", cells=cells, rank=1, is_text=True))
    table = fit_table(name_columns(rows, console), [*columns, *_columns(rows)], console, gaps=gaps)
    fact = "" if len(targets) > 1 or ABSENT in targets else f"target {targets.pop()}"
    records = [record for _, record in runs]
    return [
        headline("train", runs, groups, console, fact),
        table.table,
        *legend([table], console, note, *flag_notes(records), *node_notes(records)),
    ]


def _target_text(target: TargetResult | None) -> str:
    if target is None:
        return ABSENT
    return f"{printable(target.metric)} {_bound(target)}"


def _bound(target: TargetResult) -> str:
    return f"{'>=' if target.mode == 'max' else '<='} {target.value:g}"


def _outcome(record: RunRecord) -> str | None:
    """The outcome of a run; None if it failed or was stopped before its target."""
    if record.target is not None and record.target.reached:
        return "reached"
    if record.status != "ok":
        return None
    if record.target is None:
        return "ended"
    return "missed" if record.target.cut_off_by is None else "stopped"


def run_line(record: RunRecord) -> str:
    """How a run ended, in one line: `reached accuracy 0.953 >= 0.95 in 0.455 s, 3.57 J`."""
    target = record.target
    if record.status != "ok":
        return ending_line(record)
    if target is None:
        return "ended"
    if target.reached:
        spent = _spent_text(target.time_to_target_s, target.energy_to_target_j)
        parts = [printable(target.metric), *_crossing_text(record, target), _bound(target)]
        return f"reached {' '.join(parts)} in {spent}"
    best = best_value(record)
    nearest = "no value" if best is None else quality_text(best, target.value)
    ending = "missed" if target.cut_off_by is None else "stopped by the search"
    line = f"{ending}: best {printable(target.metric)} {nearest} of {target.value:g}"
    spent = _spent_text(target.censored_at_s, target.censored_at_j)
    return f"{line}, spent {spent}" if spent else line


def _crossing_text(record: RunRecord, target: TargetResult) -> list[str]:
    """The value at the crossing; records without an evaluation there have the best one."""
    value = target.best_value
    if record.quality and record.quality.at == "crossing":
        value = record.quality.values.get(target.metric)
    return [] if value is None else [quality_text(value, target.value)]


def _spent_text(time_s: float | None, energy_j: float | None) -> str:
    known = [(value, scale) for value, scale in ((time_s, TIME), (energy_j, ENERGY))]
    return ", ".join(quantity(value, scale) for value, scale in known if value is not None)


def _columns(groups: Sequence[Group]) -> list[Column]:
    """All columns but the outcome, in the order in which they are shown."""
    samples_note = f"{_TTA} = samples x time per sample, run by run."
    return [
        _best_column(groups),
        *_time_columns(groups),
        *_energy_columns(groups),
        *_source_columns(groups),
        field_column(groups, "target.samples_to_target", COUNT, rank=7, note=sample_note(groups)),
        field_column(groups, "target.time_per_sample_s", TIME, rank=11, note=samples_note),
        joules_column(heading_of(_EACH_J), joules_of(groups, _EACH_J), rank=12),
        latency_column(groups, rank=9),
        _throughput_column(groups),
        *_quality_columns(groups),
        field_column(groups, "utilization.memory_peak_bytes", BYTES, rank=14),
        field_column(groups, "utilization.cpu_process_frac", PERCENT, rank=15),
        field_column(groups, "utilization.cpu_machine_frac", PERCENT, rank=16),
        field_column(groups, "model.size_bytes", BYTES, rank=17),
    ]


def _metrics(groups: Sequence[Group]) -> list[str]:
    """The metrics of the targets of all runs."""
    metrics = (run.target.metric for group in groups for run in group.runs if run.target)
    return list(dict.fromkeys(metrics))


def _quality_columns(groups: Sequence[Group]) -> list[Column]:
    """The quality on the test split by the metric of each target."""
    return [quality_column(groups, f"{TEST}.{metric}", rank=13) for metric in _metrics(groups)]


def _best_column(groups: Sequence[Group]) -> Column:
    """The best value of runs that missed: the lowest and the highest of several."""
    metrics = _metrics(groups)
    metric = "value"
    if len(metrics) == 1:
        metric = shortened(printable(metrics[0]).replace("_", " "), _LONGEST_METRIC)
    cells = []
    for group in groups:
        # Sort by value, not by text: "0.9" and "0.10" would change places.
        values = sorted(
            (best, quality_text(best, run.target.value))
            for run in group.measured
            if run.target is not None and not run.target.reached
            if (best := best_value(run)) is not None
        )
        cells.append(" to ".join(dict.fromkeys(text for _, text in values[:1] + values[-1:])))
    return Column(heading=f"best\n{metric}\nif missed", cells=cells, rank=2)


def _goal(groups: Sequence[Group]) -> str:
    return "accuracy" if _metrics(groups) in ([], ["accuracy"]) else "the target"


def _time_columns(groups: Sequence[Group]) -> list[Column]:
    medians = field_medians(groups, _TIME_S)
    note = f"{_TTA}: time to {_goal(groups)}, evaluation included."
    if any(len(group.measured) > 1 for group in groups):
        note += " Of several runs: the median."
    if any(run.target and not run.target.reached for group in groups for run in group.measured):
        note += " > x: missed, after spending x. Runs that missed or failed (inf) count as slowest."
    unit = unit_for(medians, TIME)  # also of the brackets, which stand in a column beside it
    brackets = [_bracket(group, unit) for group in groups]
    if any(run.target and run.target.cut_off_by for group in groups for run in group.measured):
        note += " Stopped: by a search, before its budget was spent; it counts as a miss."
    spread = spread_column(
        f"{_TTA} range", medians, TIME, rank=6, single=brackets, single_note=_SINGLE
    )
    return [number_column(_TTA, medians, TIME, rank=1, note=note), spread]


def _bracket(group: Group, unit: Unit | None) -> str:
    """The two evaluations that a single run crossed its target between: `(2, 4]`."""
    target = group.measured[0].target if len(group.measured) == 1 else None
    if target is None or target.time_to_target_s is None:
        return ""
    if target.rule == "final":  # its time is the length of the schedule, which has no crossing
        return ""
    low = "start" if target.last_miss_s is None else quantity(target.last_miss_s, TIME, unit)
    return f"({low}, {quantity(target.time_to_target_s, TIME, unit)}]"


def _energy_columns(groups: Sequence[Group]) -> list[Column]:
    joules = joules_of(groups, _ENERGY_J)
    note = f"{_ETA}: energy to {_goal(groups)}, ± the bound of its error."
    spread = spread_column(f"{_ETA} range", [each.median for each in joules], ENERGY, rank=8)
    return [joules_column(_ETA, joules, rank=3, note=note), spread]


def _source_columns(groups: Sequence[Group]) -> list[Column]:
    """The cost of the run that a recipe builds on, and the total of both runs."""
    recipes = [run.recipe for group in groups for run in group.runs if run.recipe]
    names = {_SOURCES.get(recipe.name, "source") for recipe in recipes}
    if not names:  # no run has a recipe
        return []
    name = names.pop() if len(names) == 1 else "source"
    source_s = field_medians(groups, "recipe.source_time_s")
    total_s = field_medians(groups, "recipe.total_time_to_target_s")
    source_j = joules_of(groups, "recipe.source_energy_j", "recipe.source_energy_label")
    total_j = joules_of(groups, "recipe.total_energy_to_target_j", "recipe.total_energy_label")
    return [
        number_column(f"{name}'s\n{_TTA}", source_s, TIME, rank=4),
        number_column(f"{_TTA} with\n{name}", total_s, TIME, rank=4),
        joules_column(f"{name}'s\n{_ETA}", source_j, rank=5),
        joules_column(f"{_ETA} with\n{name}", total_j, rank=5),
    ]


def _throughput_column(groups: Sequence[Group]) -> Column:
    """Throughput at the best batch size that the probe tried."""
    texts = []
    for group in groups:
        sizes = {value_of(run, "serving.throughput_batch_size") for run in group.measured} - {None}
        texts.append(f"(batch {', '.join(map(str, sorted(sizes)))})" if sizes else "")
    heading, suffixes = shared_text(heading_of(_RATE), texts)
    medians, note = field_medians(groups, _RATE), sample_note(groups)
    return number_column(heading, medians, RATE, rank=10, suffixes=suffixes, note=note)
