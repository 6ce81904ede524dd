"""The table that ends a command: one row per run, every number with what it needs to be read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.core.records import RunRecord, TargetResult

_ABSENT = "-"


def sweep_tables(runs: Sequence[tuple[Sequence[str], RunRecord]], console: Console) -> list[Table]:
    """Runs as rows; where the console is too narrow, as columns of as many tables as it takes.

    Args:
        runs: Records, each with the overrides it was started with.
        console: What the tables are for.
    """
    names = _names([overrides for overrides, _ in runs])
    rows = [(name, *_cells(record)) for name, (_, record) in zip(names, runs, strict=True)]
    wide = _table(_HEADINGS, rows)
    endless = console.options.update(width=_ENDLESS)
    if console.measure(wide, options=endless).maximum <= console.width:
        return [wide]
    num_columns = max(1, console.width // _NARROW_COLUMN - 1)
    chunks = [rows[first : first + num_columns] for first in range(0, len(rows), num_columns)]
    headings = [heading.replace("\n", " ") for heading in _HEADINGS]
    return [_table(*_transposed(headings, chunk)) for chunk in chunks]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(*headings, show_lines=True)
    for row in rows:
        table.add_row(*row)
    return table


def _transposed(
    headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    first, *others = zip(headings, *rows, strict=True)
    return first, others


_ENDLESS = 10_000
_NARROW_COLUMN = 26  # characters, as wide as a heading on one line
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
LEGEND = (
    "TTA: time to accuracy, evaluation included; it lies between the last miss and the first hit. "
    "ETA: energy to accuracy.\nA run that missed shows > what it had spent. us/sample x samples = "
    "TTA. Latency: one input at a time; - for too few samples."
)


def _names(overrides: Sequence[Sequence[str]]) -> list[str]:
    """What tells the runs apart: the overrides that they do not all share."""
    shared = set.intersection(*map(set, overrides)) if len(overrides) > 1 else set()
    return [
        "\n".join(item for item in items if item not in shared) or "defaults" for items in overrides
    ]


def _cells(record: RunRecord) -> list[str]:
    target = record.target
    return [
        _outcome(record),
        _time(target),
        _energy(record),
        _ABSENT if target is None else _number(target.samples_to_target),
        _rates(target),
        _cpu(record),
        _number(record.utilization.memory_peak_bytes if record.utilization else None, 1e-6),
        _latency(record),
        _throughput(record),
        _number(record.model.size_bytes if record.model else None, 1e-3),
        _health(record),
    ]


def _number(value: float | None, factor: float = 1.0) -> str:
    """Three significant digits, whole numbers from 1000 on."""
    if value is None:
        return _ABSENT
    scaled = value * factor
    return f"{scaled:.3g}" if abs(scaled) < 999.5 else f"{scaled:.0f}"


def _outcome(record: RunRecord) -> str:
    if record.status != "ok":
        return f"{record.status}\n{record.error.kind if record.error else ''}".strip()
    target = record.target
    if target is None:
        return record.status
    sign = ">=" if target.mode == "max" else "<="
    return f"{'reached' if target.reached else 'missed'}\n{target.metric} {sign} {target.value:g}"


def _time(target: TargetResult | None) -> str:
    if target is None:
        return _ABSENT
    if target.time_to_target_s is None:
        return _ABSENT if target.censored_at_s is None else f"> {_number(target.censored_at_s)}"
    low = "start" if target.last_miss_s is None else _number(target.last_miss_s)
    hit = _number(target.time_to_target_s)
    return f"{hit}\n({low}, {hit}]"


def _energy(record: RunRecord) -> str:
    target = record.target
    if target is None:
        return _ABSENT
    value = target.energy_to_target_j
    text = _number(value)
    if value is None and target.censored_at_j is not None:
        text = f"> {_number(target.censored_at_j)}"
    if record.energy_label is None:
        return text
    error_frac = target.energy_to_target_error_frac or record.energy_error_frac
    # Two digits: it is a bound.
    bound = "" if error_frac is None else f" ±{float(f'{error_frac * 100:.2g}'):g}%"
    return f"{text}\n({record.energy_label}{bound})"


def _rates(target: TargetResult | None) -> str:
    if target is None or target.time_per_sample_s is None:
        return _ABSENT
    time = _number(target.time_per_sample_s, 1e6)
    return f"{time}\n({_number(target.energy_per_sample_j, 1e3)})"


def _cpu(record: RunRecord) -> str:
    use = record.utilization
    if use is None:
        return _ABSENT
    return f"{_percent(use.cpu_process_frac)}/{_percent(use.cpu_machine_frac)}"


def _percent(frac: float | None) -> str:
    return _ABSENT if frac is None else f"{100 * frac:.0f}"


def _latency(record: RunRecord) -> str:
    serving = record.serving
    if serving is None:
        return _ABSENT
    values = (serving.latency_p50_ms, serving.latency_p90_ms, serving.latency_p99_ms)
    return "/".join(_number(value) for value in values)


def _throughput(record: RunRecord) -> str:
    serving = record.serving
    if serving is None:
        return _ABSENT
    return f"{_number(serving.throughput_per_s, 1e-3)}\n({serving.throughput_batch_size})"


def _health(record: RunRecord) -> str:
    if record.health is None:
        return _ABSENT
    flags = ", ".join(record.health.flags)
    return ("yes" if record.health.fit else "no") + (f"\n{flags}" if flags else "")
