"""The table that ends a command: one row per run, every number with what it needs to be read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.cli.cells import (
    ABSENT,
    fitting_tables,
    health_cell,
    label_cell,
    names_of_runs,
    number_cell,
)
from bench.core.records import RunRecord, TargetResult


def sweep_tables(runs: Sequence[tuple[Sequence[str], RunRecord]], console: Console) -> list[Table]:
    """Runs as rows; where the console is too narrow, as columns of as many tables as it takes.

    Args:
        runs: Records, each with the overrides it was started with.
        console: What the tables are for.
    """
    names = names_of_runs([overrides for overrides, _ in runs])
    rows = [(name, *_cells(record)) for name, (_, record) in zip(names, runs, strict=True)]
    return fitting_tables(_HEADINGS, rows, console)


_HEADINGS = (
    "configuration",
    "outcome",
    "TTA s\n(miss, hit]",
    "ETA J\n(label, error)",
    "samples\nto target",
    "us/sample\n(mJ/sample)",
    "CPU %\nrun/machine",
    "peak\nMB",
    "latency ms\np50/p90/p99",
    "1000 pred/s\n(batch)",
    "model\nkB",
    "fit to\ncompare",
)
# What the run is called that a recipe builds on.
_SOURCES = {"distill": "teacher", "prune": "base run"}
LEGEND = (
    "TTA: time to accuracy, evaluation included; it lies between the last miss and the first hit. "
    "ETA: energy to accuracy.\nA run that missed shows > what it had spent. us/sample x samples = "
    "TTA. Latency: one input at a time; - for too few samples."
)


def _cells(record: RunRecord) -> list[str]:
    target = record.target
    return [
        _outcome(record),
        _time(record),
        _energy(record),
        ABSENT if target is None else number_cell(target.samples_to_target),
        _rates(target),
        _cpu(record),
        number_cell(record.utilization.memory_peak_bytes if record.utilization else None, 1e-6),
        _latency(record),
        _throughput(record),
        number_cell(record.model.size_bytes if record.model else None, 1e-3),
        health_cell(record),
    ]


def _outcome(record: RunRecord) -> str:
    if record.status != "ok":
        return f"{record.status}\n{record.error.kind if record.error else ''}".strip()
    target = record.target
    if target is None:
        return record.status
    sign = ">=" if target.mode == "max" else "<="
    return f"{'reached' if target.reached else 'missed'}\n{target.metric} {sign} {target.value:g}"


def _time(record: RunRecord) -> str:
    total_s = record.recipe.total_time_to_target_s if record.recipe else None
    source_s = record.recipe.source_time_s if record.recipe else None
    return _own_time(record.target) + _beside(record, source_s, total_s)


def _beside(record: RunRecord, source: float | None, total: float | None) -> str:
    """What the run that a recipe builds on had cost, and both together; nothing without one."""
    if record.recipe is None:
        return ""
    name = _SOURCES.get(record.recipe.name, "source")
    both = "" if total is None else f"\n= {number_cell(total)}"
    return f"\n+ {number_cell(source)} {name}{both}"


def _own_time(target: TargetResult | None) -> str:
    if target is None:
        return ABSENT
    if target.time_to_target_s is None:
        return ABSENT if target.censored_at_s is None else f"> {number_cell(target.censored_at_s)}"
    hit = number_cell(target.time_to_target_s)
    if target.rule == "final":  # the length of the schedule, which lies between nothing
        return hit
    low = "start" if target.last_miss_s is None else number_cell(target.last_miss_s)
    return f"{hit}\n({low}, {hit}]"


def _energy(record: RunRecord) -> str:
    recipe = record.recipe
    if recipe is None:
        return _own_energy(record)
    beside = _beside(record, recipe.source_energy_j, recipe.total_energy_to_target_j)
    label = "" if recipe.total_energy_label is None else f" ({recipe.total_energy_label})"
    return _own_energy(record) + beside + label


def _own_energy(record: RunRecord) -> str:
    target = record.target
    if target is None:
        return ABSENT
    value = target.energy_to_target_j
    text = number_cell(value)
    if value is None and target.censored_at_j is not None:
        text = f"> {number_cell(target.censored_at_j)}"
    error_frac = target.energy_to_target_error_frac or record.energy_error_frac
    return label_cell(text, record.energy_label, error_frac)


def _rates(target: TargetResult | None) -> str:
    if target is None or target.time_per_sample_s is None:
        return ABSENT
    time = number_cell(target.time_per_sample_s, 1e6)
    return f"{time}\n({number_cell(target.energy_per_sample_j, 1e3)})"


def _cpu(record: RunRecord) -> str:
    use = record.utilization
    if use is None:
        return ABSENT
    return f"{_percent(use.cpu_process_frac)}/{_percent(use.cpu_machine_frac)}"


def _percent(frac: float | None) -> str:
    return ABSENT if frac is None else f"{100 * frac:.0f}"


def _latency(record: RunRecord) -> str:
    serving = record.serving
    if serving is None:
        return ABSENT
    values = (serving.latency_p50_ms, serving.latency_p90_ms, serving.latency_p99_ms)
    return "/".join(number_cell(value) for value in values)


def _throughput(record: RunRecord) -> str:
    serving = record.serving
    if serving is None:
        return ABSENT
    return f"{number_cell(serving.throughput_per_s, 1e-3)}\n({serving.throughput_batch_size})"
