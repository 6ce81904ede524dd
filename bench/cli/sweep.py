"""Runs the jobs of a command one after the other, each isolated, and reports on all of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console, RenderableType

from bench.cli.app import USAGE_ERROR, one_line, sweep_id
from bench.cli.instruments import refuse_wrong_meters
from bench.cli.progress import ProgressLine
from bench.cli.resolve import Planned
from bench.cli.terminal import wide_console
from bench.core.checks import value_at
from bench.core.environment import settle_environment
from bench.core.host import host_facts
from bench.core.ledger import FinishedRuns, append_ledger
from bench.core.outcome import outcome_record
from bench.core.records import RunError, RunRecord
from bench.core.store import (
    began,
    create_run_folder,
    new_identity,
    read_curve,
    read_record,
    record_path,
    write_record,
)
from bench.core.upgrade import not_started
from bench.launch.isolation import Ending, ForkServer
from bench.launch.job import Job
from bench.launch.lock import lock_path, measuring_lock

RUN_FAILED = 5


Finished = tuple[Sequence[str], RunRecord]


@dataclass(frozen=True, kw_only=True)
class Command:
    """What tells one command from another.

    name is that of the folder of its runs, results/<name>/; job the `module:function` that makes
    one run, in a process of its own; plan gives the runs that a configuration asks for; tables
    show them at the end; complete adds to a record what follows from the rest of it.
    """

    name: str
    job: str
    plan: Callable[[DictConfig], Sequence[Planned]]
    tables: Callable[[Sequence[Finished], Console], Sequence[RenderableType]]
    complete: Callable[[RunRecord], RunRecord]


class Sweep:
    """The runs of one command."""

    def __init__(self, command: Command) -> None:
        """Nothing is started."""
        settle_environment()
        self._command = command
        # This module too: each child imports the command that it was started from.
        self._server = ForkServer(preload=[command.job.partition(":")[0], __name__])
        self._console = Console(stderr=True)
        self._runs: list[tuple[Sequence[str], Path, RunRecord]] = []
        self._refused = False
        self._checked_meters: list[dict[str, Any]] = []

    def run_job(self, config: DictConfig) -> None:
        """Make the runs of one job; called by Hydra for each.

        A run that cannot even begin is refused with one line, and the sweep goes on.
        """
        try:
            overrides = list(HydraConfig.get().overrides.task)
            for planned in self._command.plan(config):
                self._run(planned, [*overrides, *planned.adds])
        except (ValueError, OSError, OmegaConfBaseException) as error:
            self._refused = True
            print(f"error: {one_line(error)}", file=sys.stderr)

    def _run(self, planned: Planned, overrides: Sequence[str]) -> None:
        config = planned.config
        if config["meter"] not in self._checked_meters:
            # Opening one may take a second.
            refuse_wrong_meters(config, gpus=[] if _is_on_cpu(config) else None)
            self._checked_meters.append(config["meter"])
        results = Path(config["results"]).absolute()
        key = (self._command.name, planned.digest, config["seed"], config["repeat"])
        if config["resume"] and (done := FinishedRuns(results).of(*key)):
            self._runs.append((overrides, done[0], read_record(done[0])))
            return
        identity = new_identity(*key)
        folder = create_run_folder(
            results, identity, config, overrides=list(overrides), sweep_id=sweep_id()
        )
        job = Job(
            identity=identity, folder=folder, title=planned.title, config=config, host=host_facts()
        )
        record = outcome_record(identity, config, [], status="interrupted", host=job.host)
        try:
            record = self._measure(job)
        except KeyboardInterrupt:
            record = self._read_or_write(job, None)
            raise
        finally:
            self._runs.append((overrides, folder, record))
            reached = record.target.reached if record.target else None
            append_ledger(results, "ended", identity, status=record.status, reached=reached)

    def _measure(self, job: Job) -> RunRecord:
        """Run the job while no other is measured on this host (unless it is to be shared)."""
        progress = ProgressLine(self._console, job)
        if job.config["shared"]:
            with progress:
                return self._read_or_write(job, self._start(job, progress))
        with measuring_lock(lock_path(), str(job.folder), self._say_waiting), progress:
            return self._read_or_write(job, self._start(job, progress))

    def _start(self, job: Job, progress: ProgressLine) -> Ending:
        log = job.folder / "log.txt"
        return self._server.run(self._command.job, job, log=log, on_message=progress.show)

    def _say_waiting(self, holder: str) -> None:
        self._console.print(
            f"waiting: another run is being measured on this host ({holder}); "
            "shared=true runs beside it and marks the run",
            soft_wrap=True,
        )

    def _read_or_write(self, job: Job, ending: Ending | None) -> RunRecord:
        """The record that the job wrote; else what its curve tells, written now."""
        if record_path(job.folder) is None:
            self._write_for(job, ending)
        written = record_path(job.folder)
        if written is not None and written.parent != job.folder:
            self._console.print(
                f"error: {job.folder} cannot be written to (disk full?); the record is {written}",
                soft_wrap=True,
            )
        return read_record(job.folder)

    def _write_for(self, job: Job, ending: Ending | None) -> None:
        """Write the record of a job that could not: what its curve tells, and how it ended."""
        rows = read_curve(job.folder)
        status, error = _explain(ending)
        if ending is None and not began(job.folder):
            error = not_started()
        record = outcome_record(
            job.identity, job.config, rows, status=status, error=error, host=job.host
        )
        write_record(job.folder, self._command.complete(record))

    def finish(self, exit_code: int) -> int:
        """Print the table; the command's exit code."""
        if self._runs:
            console = wide_console()
            shown = [(overrides, record) for overrides, _, record in self._runs]
            for table in self._command.tables(shown, console):
                console.print(table, highlight=False)
            for _, folder, record in self._runs:
                for note in _notes(folder, record):
                    console.print(f"{record.run_id}: {note}", soft_wrap=True)
            results, here = self._runs[0][1].parent, Path.cwd()
            shortest = results.relative_to(here) if results.is_relative_to(here) else results
            console.print(f"results: {shortest}", soft_wrap=True)
        if exit_code:
            return exit_code
        if self._refused:
            return USAGE_ERROR
        return RUN_FAILED if any(_has_failed(record) for _, _, record in self._runs) else 0


def _is_on_cpu(config: Mapping[str, Any]) -> bool:
    """Whether the configuration itself says that no GPU is used."""
    asked = (value_at(config, key) for key in ("trainer.accelerator", "backend.device"))
    return "cpu" in asked


def _has_failed(record: RunRecord) -> bool:
    """Whether a run ended otherwise than as ok, or served in a way that does not count."""
    return record.status != "ok" or bool(record.serving and record.serving.valid is False)


def _notes(folder: Path, record: RunRecord) -> list[str]:
    """What does not fit into the table: why a run failed, or why what it served does not count."""
    notes = []
    if record.error is not None:
        log = folder / "log.txt"
        notes.append(f"{record.status}: {record.error.message} (traceback in {log})")
    if record.serving is not None:
        notes += [f"not valid: {reason}" for reason in record.serving.invalid_reasons]
    return notes


def _explain(ending: Ending | None) -> tuple[Any, RunError | None]:
    """Status and reason of a job that left no record."""
    if ending is None:
        return "interrupted", RunError(kind="interrupted", message="stopped by Ctrl-C or SIGTERM")
    if ending.signal_name is not None:
        hint = "; the kernel does this when memory runs out" * (ending.signal_name == "SIGKILL")
        return "killed", RunError(
            kind=ending.signal_name, message=f"ended by {ending.signal_name}{hint}"
        )
    return "failed", RunError(
        kind="no_record", message=f"ended with exit code {ending.exit_code} and no record"
    )
