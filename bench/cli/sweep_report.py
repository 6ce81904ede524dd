"""Reports on the runs of a command at its end: a file of all runs, tables, and failures.

The columns of the file have the names of the record's fields (docs/metrics.md), which state the
units.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig
from rich.console import Console, RenderableType

from bench.cli.overrides import Planned, key_of
from bench.cli.terminal import say
from bench.core.checks import value_at
from bench.core.files import StoreError, replace_file
from bench.core.flat import value_of
from bench.core.identity import CHOICES
from bench.core.outcome import best_value
from bench.core.printable import csv_safe, first_and_more
from bench.core.records.run import RunRecord
from bench.core.sweep_folder import LostJob
from bench.launch.isolation import Ending
from bench.launch.job import Job, lost_record

Finished = tuple[Sequence[str], RunRecord]
_MOST_NOTES = 20  # errors before the tables, and reasons of failures after them


class Run(NamedTuple):
    """A run of a command, with its overrides and its folder."""

    overrides: Sequence[str]
    folder: Path
    record: RunRecord


def unchanged(record: RunRecord) -> RunRecord:
    """Add nothing to a record."""
    return record


def nothing_recovered(folder: Path, record: RunRecord) -> RunRecord:
    """Add nothing to the record of a run that left only a curve."""
    return record


@dataclass(frozen=True, kw_only=True)
class Command:
    """The parts of a command that differ between commands.

    Attributes:
        name: The name of the command, and of the folder of its runs: results/<name>/.
        job: The `module:function` that makes one run, in a process of its own.
        plan: Returns the runs that a configuration asks for.
        check: Raises ValueError if the machine lacks what a run needs, before any is launched.
        tables: Makes the tables that end the command.
        line: Describes a run that has just ended.
        columns: The fields of the record that sweep.csv has for this command only.
        recover: Adds to the record of a run that left none what is in its folder besides a curve.
        complete: Adds to such a record what follows from its other fields.
    """

    name: str
    job: str
    plan: Callable[[DictConfig], Sequence[Planned]]
    check: Callable[[Mapping[str, Any]], None]
    tables: Callable[[Sequence[Finished], Console], Sequence[RenderableType]]
    line: Callable[[RunRecord], str]
    columns: Sequence[str]
    recover: Callable[[Path, RunRecord], RunRecord] = nothing_recovered
    complete: Callable[[RunRecord], RunRecord] = unchanged

    def lost_record(self, job: Job, cause: Ending | LostJob | BaseException) -> RunRecord:
        """Make the record of a run whose job left none, from all that is in its folder.

        Args:
            job: The run.
            cause: As bench.launch.job.lost_record() takes it.

        Raises:
            ValueError: As the command's `complete`.
        """
        record = lost_record(job, cause)
        with suppress(StoreError):  # damaged; the error of the run is more important
            record = self.recover(job.folder, record)
        return self.complete(record)


def print_errors(errors: Sequence[str], console: Console) -> None:
    """Print the first errors, and how many there are besides."""
    for text in errors[:_MOST_NOTES]:
        say(console, f"error: {text}")
    if len(errors) > _MOST_NOTES:
        say(console, f"error: {len(errors) - _MOST_NOTES} more jobs or runs have errors like these")


def print_runs(command: Command, runs: Sequence[Run], console: Console) -> None:
    """Print the tables of all runs, and why some failed.

    Args:
        command: The command.
        runs: The runs, each with its overrides and its folder.
        console: The console to print to.
    """
    for table in command.tables([(overrides, record) for overrides, _, record in runs], console):
        console.print(table, highlight=False)
    # Many runs of a sweep may fail for the same reason: print it once, with the first of them.
    # By the text of the note, in the order of the runs.
    affected: dict[str, list[tuple[Path, RunRecord]]] = {}
    for _, folder, record in runs:
        for note in _notes(record):
            affected.setdefault(note, []).append((folder, record))
    # Of very many reasons, print those of the most runs.
    kept = sorted(affected, key=lambda note: -len(affected[note]))[:_MOST_NOTES]
    for note, having in affected.items():
        if note in kept:
            names = first_and_more([record.run_id for _, record in having])
            say(console, f"{names}: {note}{_log_note(*having[0])}")
    if len(affected) > len(kept):
        num = len(affected) - len(kept)
        say(console, f"{num} more reasons: run.json of each run has its own")


def print_folders(runs: Sequence[Run], console: Console) -> None:
    """Print the folders of the runs; a sweep may have several results folders."""
    folders = dict.fromkeys(folder.parent for _, folder, _ in runs)
    say(console, f"results: {', '.join(str(short_path(folder)) for folder in folders)}")


def short_path(path: Path) -> Path:
    """Make a path relative to the working directory, if it is inside."""
    path, here = path.absolute(), Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def has_failed(record: RunRecord) -> bool:
    """Whether a run failed, or served without a valid result; refused runs have not failed."""
    # Null means that nothing was judged, as for a run of bench.train.
    invalid = bool(record.serving and record.serving.valid is False)
    return record.status not in ("ok", "refused") or invalid


def has_found_skew(record: RunRecord) -> bool:
    """Whether a run was measured, but its serving path differs from that of the training."""
    return record.skew is not None and record.skew.found


def _notes(record: RunRecord) -> list[str]:
    """Explain what the table only marks: why a run failed, is not valid, or has found skew."""
    notes = []
    if record.error is not None:
        kind = "" if record.error.message.startswith(record.status) else f"{record.status}: "
        notes.append(kind + record.error.message)
    if record.serving is not None:
        notes += [f"not valid: {reason}" for reason in record.serving.invalid_reasons]
    if record.skew is not None and record.skew.finding is not None:
        notes.append(record.skew.finding)
    return notes


def _log_note(folder: Path, record: RunRecord) -> str:
    """Point to the traceback of a run, unless there is none or the run was refused."""
    error = record.error
    if error is None or error.traceback is None or record.status == "refused":
        return ""
    return f" (traceback in {short_path(folder / 'log.txt')})"


_FIRST = ("run_id", "folder", "overrides", "config_hash", "seed", "repeat", "status")
_LAST = (
    "host.name",
    "host.scheduler.job_id",
    "host.scheduler.node",
    "host.scheduler.exclusive",
    "health.comparable",
    "health.flags",
    "error.kind",
    "error.message",
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


def write_sweep(
    path: Path,
    runs: Sequence[Run],
    columns: Sequence[str],
) -> Path:
    """Write all runs of a sweep to a CSV file, in place of its earlier content.

    Args:
        path: The file; its folder is made.
        runs: The runs, each with its overrides and its folder.
        columns: The fields that the command adds to those of every run.

    Returns:
        The path.

    Raises:
        OSError: The file cannot be written; its earlier content is kept.
    """
    swept = _swept([overrides for overrides, _, _ in runs])
    names = (*_FIRST, *(f"config.{key}" for key in swept), *columns, *_BOTH, *_LAST)
    rows = [_row(*run, names) for run in runs]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=names)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    return replace_file(path, text.getvalue().encode())


def _swept(overrides: Sequence[Sequence[str]]) -> list[str]:
    """The keys that differ between the runs, except those that are columns anyway."""
    values_by_key: dict[str, set[str]] = {}
    for each in overrides:
        for text in each:
            values_by_key.setdefault(key_of(text), set()).add(text.partition("=")[2])
    return [key for key, values in values_by_key.items() if len(values) > 1 and key not in _FIRST]


def _config_value(record: RunRecord, key: str) -> Any:
    """The value of a key; for a group, the chosen option."""
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
            computed[name] = _config_value(record, name.removeprefix("config."))
    return {name: computed[name] if name in computed else value_of(record, name) for name in names}


def _cell(value: object) -> object:
    """Format a cell: empty if unknown; numbers keep all their digits."""
    if isinstance(value, bool):
        return str(value).lower()
    return csv_safe(value) if isinstance(value, str) else value
