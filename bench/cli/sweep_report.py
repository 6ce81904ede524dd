"""What a command reports when its runs have ended: a file of all of them, tables, and failures.

Columns of the file are named as fields of the record (docs/metrics.md), so that each states its
unit.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console, RenderableType

from bench.cli.overrides import Planned, key_of
from bench.cli.terminal import say
from bench.core.checks import value_at
from bench.core.files import replace_file
from bench.core.flat import value_of
from bench.core.identity import CHOICES
from bench.core.outcome import best_value
from bench.core.printable import csv_safe
from bench.core.records.run import RunRecord

Finished = tuple[Sequence[str], RunRecord]


@dataclass(frozen=True, kw_only=True)
class Command:
    """What tells one command from another.

    name is that of the folder of its runs, results/<name>/; job the `module:function` that makes
    one run, in a process of its own; plan gives the runs that a configuration asks for; tables
    show them at the end, line one that has just ended; complete adds to a record what
    follows from the rest of it.
    """

    name: str
    job: str
    plan: Callable[[DictConfig], Sequence[Planned]]
    tables: Callable[[Sequence[Finished], Console], Sequence[RenderableType]]
    line: Callable[[RunRecord], str]
    complete: Callable[[RunRecord], RunRecord]


def print_runs(
    command: Command, runs: Sequence[tuple[Sequence[str], Path, RunRecord]], console: Console
) -> None:
    """Print the tables of all runs, and why some failed.

    Args:
        command: What was run.
        runs: Each with its overrides and its folder.
        console: Where.
    """
    for table in command.tables([(overrides, record) for overrides, _, record in runs], console):
        console.print(table, highlight=False)
    # Many runs of a sweep may fail for one reason: it is printed once, with the first of them.
    alike: dict[str, list[tuple[Path, RunRecord]]] = {}
    for _, folder, record in runs:
        for note in _notes(record):
            alike.setdefault(note, []).append((folder, record))
    for note, those in alike.items():
        more = f" and {len(those) - 1} more" if len(those) > 1 else ""
        say(console, f"{those[0][1].run_id}{more}: {note}{_log_of(*those[0])}")


def print_folders(runs: Sequence[tuple[Sequence[str], Path, RunRecord]], console: Console) -> None:
    """Print where the runs are: a sweep may have several results folders."""
    folders = dict.fromkeys(folder.parent for _, folder, _ in runs)
    say(console, f"results: {', '.join(str(shortest(folder)) for folder in folders)}")


def shortest(path: Path) -> Path:
    """The path from the folder that the command was started in, where it lies there."""
    path, here = path.absolute(), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def has_failed(record: RunRecord) -> bool:
    """Whether a run ended otherwise than as asked, or served in a way that does not count."""
    invalid = bool(record.serving and record.serving.valid is False)
    return record.status not in ("ok", "refused") or invalid


def _notes(record: RunRecord) -> list[str]:
    """What does not fit into the table: why a run failed, or why what it served does not count."""
    notes = []
    if record.error is not None:
        kind = "" if record.error.message.startswith(record.status) else f"{record.status}: "
        notes.append(kind + record.error.message)
    if record.serving is not None:
        notes += [f"not valid: {reason}" for reason in record.serving.invalid_reasons]
    return notes


def _log_of(folder: Path, record: RunRecord) -> str:
    """Where the traceback of a run is, where there is one that is of use."""
    error = record.error
    if error is None or error.traceback is None or record.status == "refused":
        return ""
    return f" (traceback in {shortest(folder / 'log.txt')})"


_FIRST = ("run_id", "folder", "overrides", "config_hash", "seed", "repeat", "status")
_LAST = ("health.comparable", "health.flags", "error.kind", "error.message")
_TRAINING = (
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
_SERVING = (
    "trained.run_id",
    "trained.seed",
    "trained.data",
    "serving.scenario",
    "serving.backend",
    "serving.headline",
    "serving.valid",
    "serving.max_rate_per_s",
    "serving.goodput_per_s",
    "serving.cost_per_million_usd",
    "serving.emissions_per_million_gco2e",
    "compression.method",
    "compression.accuracy_change",
    "compression.latency_ratio",
    "compression.latency_ratio_low",
    "compression.latency_ratio_high",
    "quality_test.worst_class_recall",
)
_BOTH = (
    "energy_total_j",
    "energy_label",
    "energy_error_frac",
    "model.name",
    "model.size_bytes",
    "quality_test.accuracy",
    "serving.latency_p50_ms",
    "serving.latency_p90_ms",
    "serving.latency_p99_ms",
    "serving.throughput_per_s",
    "serving.throughput_batch_size",
    "serving.energy_per_prediction_j",
    "serving.energy_per_prediction_label",
    "serving.energy_per_prediction_error_frac",
    "utilization.cpu_process_frac",
    "utilization.cpu_machine_frac",
    "utilization.memory_peak_bytes",
)


def write_sweep(path: Path, runs: Sequence[tuple[Sequence[str], Path, RunRecord]]) -> Path:
    """Write all runs of a sweep, in place of what the file held before.

    Args:
        path: Where; its folder is made.
        runs: Each with the overrides it was started with, and its folder.

    Returns:
        The path.

    Raises:
        OSError: It cannot be written; what was there before is still there.
    """
    is_serving = any(record.command == "serve" for _, _, record in runs)
    swept = _swept([overrides for overrides, _, _ in runs])
    flow = _SERVING if is_serving else _TRAINING
    names = (*_FIRST, *(f"config.{key}" for key in swept), *flow, *_BOTH, *_LAST)
    rows = [_row(*run, names) for run in runs]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=names)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    return replace_file(path, text.getvalue().encode())


def _swept(overrides: Sequence[Sequence[str]]) -> list[str]:
    """The keys that differ between the runs, without those that are columns anyway."""
    values_by_key: dict[str, set[str]] = {}
    for each in overrides:
        for text in each:
            values_by_key.setdefault(key_of(text), set()).add(text.partition("=")[2])
    return [key for key, values in values_by_key.items() if len(values) > 1 and key not in _FIRST]


def _configured(record: RunRecord, key: str) -> Any:
    """The value of a key; of a group, the option that was chosen."""
    value = value_at(record.config, key)
    chosen = record.config.get(CHOICES, {}).get(key)
    return chosen if isinstance(value, dict | list) or value is None else value


def _row(
    overrides: Sequence[str], folder: Path, record: RunRecord, names: Sequence[str]
) -> dict[str, Any]:
    computed = {
        "folder": str(folder),
        "overrides": " ".join(overrides),
        "target.best_value": best_value(record),
        "health.flags": " ".join(record.health.flags if record.health else []),
    }
    for name in names:
        if name.startswith("config."):
            computed[name] = _configured(record, name.removeprefix("config."))
    return {name: computed[name] if name in computed else value_of(record, name) for name in names}


def _cell(value: object) -> object:
    """Empty for what is not known; numbers with all their digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return csv_safe(value) if isinstance(value, str) else value
