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
from bench.core.records.run import RunRecord
from bench.core.records.target import TargetResult
from bench.runs.table.columns import Column, fitted, legend, number_column, spread_column
from bench.runs.table.fields import (
    accuracy_column,
    field_column,
    field_median,
    field_medians,
    heading_of,
    latency_column,
)
from bench.runs.table.groups import (
    Finished,
    Group,
    ending_line,
    flag_notes,
    grouped,
    headline_of,
    incomparable_column,
    naming,
    outcome_column,
)
from bench.runs.table.joules import joules_column, joules_of
from bench.runs.table.medians import (
    ABSENT,
    BYTES,
    COUNT,
    ENERGY,
    RATE,
    TIME,
    Median,
    Unit,
    quality_text,
    quantity,
    unit_for,
)

# What the run is called that a recipe builds on.
_SOURCES = {"distill": "teacher", "prune": "base run"}
_SINGLE = "(a, b]: the last evaluation that missed and the first that hit the target."
_TIME_S, _ENERGY_J = "target.time_to_target_s", "target.energy_to_target_j"
_SAMPLES, _EACH_S = "target.samples_to_target", "target.time_per_sample_s"
_EACH_J, _RATE = "target.energy_per_sample_j", "serving.throughput_per_s"
_MEMORY, _SIZE = "utilization.memory_peak_bytes", "model.size_bytes"
_TTA, _ETA = METRICS[_TIME_S].short, METRICS[_ENERGY_J].short


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


def train_columns(groups: Sequence[Group]) -> list[Column]:
    """All columns but the outcome, in the order in which they are shown."""
    return [
        best_column(groups),
        *_times(groups),
        *_energies(groups),
        *_sources(groups),
        *_factors(groups),
        latency_column(groups, rank=9),
        _throughput(groups),
        accuracy_column(groups, rank=13),
        field_column(groups, _MEMORY, BYTES, rank=14),
        _cpu(groups),
        field_column(groups, _SIZE, BYTES, rank=16),
    ]


def best_column(groups: Sequence[Group]) -> Column:
    """How near the runs that missed came."""
    metrics = {run.target.metric for group in groups for run in group.runs if run.target}
    metric = printable(metrics.pop()).replace("_", " ") if len(metrics) == 1 else "value"
    cells = [_bests(group) for group in groups]
    return Column(heading=f"best\n{metric}\nif missed", cells=cells, rank=2)


def _bests(group: Group) -> str:
    """The best value of the one run that missed; the lowest and the highest of several."""
    found = sorted(
        (best, quality_text(best, run.target.value))
        for run in group.measured
        if run.target is not None and not run.target.reached
        if (best := best_value(run)) is not None
    )
    return " to ".join(dict.fromkeys(text for _, text in found[:1] + found[-1:]))


def _times(groups: Sequence[Group]) -> list[Column]:
    medians = field_medians(groups, _TIME_S)
    note = f"{_TTA}: time to accuracy, evaluation included."
    if any(len(group.measured) > 1 for group in groups):
        note += " Of several runs: the median."
    if any(run.target and not run.target.reached for group in groups for run in group.measured):
        note += " > x: missed, after spending x. Runs that missed or failed (inf) count as slowest."
    unit = unit_for(medians, TIME)
    brackets = [_bracket(group, unit) for group in groups]
    spread = spread_column(
        f"{_TTA} range", medians, TIME, rank=6, single=brackets, single_note=_SINGLE
    )
    return [number_column(_TTA, medians, TIME, rank=1, note=note), spread]


def _bracket(group: Group, unit: Unit | None) -> str:
    """Between which evaluations a single run hit: the last one that missed, the first that hit."""
    target = group.measured[0].target if len(group.measured) == 1 else None
    if target is None or target.time_to_target_s is None:
        return ""
    if target.rule == "final":  # the length of the schedule, which lies between nothing
        return ""
    low = "start" if target.last_miss_s is None else quantity(target.last_miss_s, TIME, unit)
    return f"({low}, {quantity(target.time_to_target_s, TIME, unit)}]"


def _energies(groups: Sequence[Group]) -> list[Column]:
    joules = joules_of(groups, _ENERGY_J)
    note = f"{_ETA}: energy to accuracy, ± the bound of its error."
    spread = spread_column(f"{_ETA} range", [each.median for each in joules], ENERGY, rank=8)
    return [joules_column(_ETA, joules, rank=3, note=note), spread]


def _sources(groups: Sequence[Group]) -> list[Column]:
    """What the run that a recipe builds on had cost, and both together."""
    recipes = [run.recipe for group in groups for run in group.runs if run.recipe]
    names = {_SOURCES.get(recipe.name, "source") for recipe in recipes}
    if not names:
        return []
    name = names.pop() if len(names) == 1 else "source"
    own = joules_of(groups, "recipe.source_energy_j", "recipe.source_energy_label")
    both = joules_of(groups, "recipe.total_energy_to_target_j", "recipe.total_energy_label")
    source_s = field_medians(groups, "recipe.source_time_s")
    total_s = field_medians(groups, "recipe.total_time_to_target_s")
    return [
        number_column(f"{name}'s\n{_TTA}", source_s, TIME, rank=4),
        number_column(f"{_TTA} with\n{name}", total_s, TIME, rank=4),
        joules_column(f"{name}'s\n{_ETA}", own, rank=5),
        joules_column(f"{_ETA} with\n{name}", both, rank=5),
    ]


def _factors(groups: Sequence[Group]) -> list[Column]:
    note = f"{_TTA} = samples x time per sample, run by run."
    return [
        field_column(groups, _SAMPLES, COUNT, rank=7),
        field_column(groups, _EACH_S, TIME, rank=11, note=note),
        joules_column(heading_of(_EACH_J), joules_of(groups, _EACH_J), rank=12),
    ]


def _throughput(groups: Sequence[Group]) -> Column:
    """Of the best batch size tried, which stands in the heading where all runs have the same."""
    sizes = [
        {value_of(run, "serving.throughput_batch_size") for run in group.measured} - {None}
        for group in groups
    ]
    all_sizes = set.union(*sizes) if sizes else set()
    heading, suffixes = heading_of(_RATE), [""] * len(groups)
    if len(all_sizes) == 1:
        heading += f"\n(batch {all_sizes.pop()})"
    elif all_sizes:
        heading += "\n(batch)"
        suffixes = [f"({', '.join(map(str, sorted(each)))})" if each else "" for each in sizes]
    rates = field_medians(groups, _RATE)
    return number_column(heading, rates, RATE, rank=10, suffixes=suffixes)


def _cpu(groups: Sequence[Group]) -> Column:
    """Use of all CPUs by the run and by the whole machine."""
    names = ("utilization.cpu_process_frac", "utilization.cpu_machine_frac")
    rows = [[field_median(group.measured, name) for name in names] for group in groups]
    cells = ["/".join(_percent(each) for each in row) if any(row) else "-" for row in rows]
    return Column(heading="CPU %\nrun/machine", cells=cells, rank=15)


def _percent(share: Median | None) -> str:
    value = None if share is None else share.estimate.value
    return "-" if value is None else f"{100 * value:.0f}"
