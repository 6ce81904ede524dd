"""What a command prints when its runs have ended: tables, what failed, and where all of it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console, RenderableType

from bench.cli.resolve import Planned
from bench.cli.terminal import say
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
