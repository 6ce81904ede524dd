"""Gathers the runs of a sweep from the notes of its jobs and from the run folders.

A job may have been lost together with the process that made it. Its run then gets a record here,
from what it left in its folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.cli.app import sweep_id
from bench.cli.await_jobs import Waiting
from bench.cli.multirun import Multirun
from bench.cli.overrides import distinguishing
from bench.cli.sweep_report import Run
from bench.cli.worker import Worker
from bench.core.files import StoreError, read_file, utc_now
from bench.core.ledger import note_end, note_launch
from bench.core.printable import first_and_more
from bench.core.records.run import RunIdentity, RunRecord
from bench.core.store import identity_of, read_record, record_path, write_record
from bench.core.sweep_folder import JobNote, JobRun, LostJob, SweepFolder
from bench.launch.child import GRACE_S
from bench.launch.job import Job, unreadable_record

# A record that another host has written shows up here within this time.
_SHOWS_UP_S = 60.0
_MOST_LINES = 10  # of jobs with the same error


@dataclass(slots=True)
class Gathered:
    """What became of the jobs of a command.

    Attributes:
        runs: The runs, each with its overrides, its folder and its record.
        errors: Why jobs were refused or failed beside their runs; one line each.
        refused: Whether a job was refused.
        failed: Whether a job failed beside its runs, or was never started.
        num_found: Number of runs that resume= found finished.
        num_missing: Number of runs that were never started.
    """

    runs: list[Run] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    refused: bool = False
    failed: bool = False
    num_found: int = 0
    num_missing: int = 0


class Gathering:
    """Gathers what became of the jobs of a command, when its launcher has returned."""

    def __init__(
        self,
        worker: Worker,
        multirun: Multirun,
        waiting: Waiting | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            worker: The worker of the command's own process.
            multirun: The sweep as its sweeper planned it.
            waiting: What to wait with for jobs that may still be made.
        """
        self._worker = worker
        self._multirun = multirun
        self._folder = None if multirun.folder is None else SweepFolder(multirun.folder)
        self._waiting = waiting or Waiting()
        self._result = Gathered()
        self._jobs: dict[tuple[str, bool], list[str]] = {}  # by their error, and if it is a failure

    def gather(self, *, interrupted: bool) -> Gathered:
        """Read the records of all runs; write those that are missing.

        Args:
            interrupted: Whether a signal ended the command, so that some jobs were not started.
        """
        notes = self._all_notes()
        self._compare_with_plan(notes)
        for note in (*self._multirun.found, *notes):
            for run in note.runs:
                self._take(note, run)
            self._take_errors(note)
        self._report_errors()
        self._count_missing(notes, interrupted=interrupted)
        order = {tuple(each): place for place, each in enumerate(self._multirun.order)}
        if order:
            self._result.runs.sort(key=lambda run: _place(order, run.overrides))
        return self._result

    def _all_notes(self) -> list[JobNote]:
        """The notes of this process and of others, once nothing more is to be expected."""
        own = self._worker.notes
        if self._folder is None:
            return [own[num] for num in sorted(own)]
        # Without a plan, another sweeper than ours has made up the jobs as it went.
        plan = self._multirun.plan
        nums = (
            [job.num for job in plan.jobs] if plan else sorted({**self._folder.read_notes(), **own})
        )
        if not set(nums) <= own.keys():
            unknown = set(nums) - own.keys() - self._worker.lost.keys()
            # A launcher that returned has started all jobs; one that failed may have, too.
            may_begin = self._multirun.error is not None and not self._worker.lost
            self._waiting.for_jobs(self._folder, unknown, may_begin=may_begin)
        found = {**self._folder.read_notes(), **own}
        return [found[num] for num in nums if num in found]

    def _compare_with_plan(self, notes: Sequence[JobNote]) -> None:
        """Report the jobs that made other runs than were planned: each composes its own."""
        plan = self._multirun.plan
        planned = {job.num: job.keys for job in plan.jobs} if plan is not None else {}
        for note in notes:
            keys = planned.get(note.num, ())
            if keys and not all(run.key in keys for run in note.runs):
                text = (
                    "its configuration is not the one that was planned: a file of conf/, of "
                    "--config-dir or of the code has changed, or the node has other variables"
                )
                self._add_error(note, text, failed=True)

    def _take(self, note: JobNote, run: JobRun) -> None:
        record = self._worker.records.get(run.folder)
        if record is None:
            record = self._read(note, run)
        self._result.runs.append(Run(run.overrides, Path(run.folder), record))
        self._result.num_found += run.found

    def _read(self, note: JobNote, run: JobRun) -> RunRecord:
        """Read the record of a run that another process made, or write it if that was lost."""
        try:
            record = self.record_of(note, run)
            if not run.found:
                self._add_to_ledger(run, record)
        except (OSError, ValueError) as error:
            self._error(str(error), failed=True)
            return unreadable_record(_job(run, Path(run.folder)), error)
        return record

    def record_of(self, note: JobNote, run: JobRun) -> RunRecord:
        """The record of a run that another process made and that has ended or is lost.

        Raises:
            OSError: The folder of the run cannot be read.
            ValueError: It is not the folder of a run, or its record is damaged or elsewhere.
        """
        folder = Path(run.folder)
        if record_path(folder) is None:
            if run.ended:
                self._waiting.for_file(folder / "run.json", _SHOWS_UP_S)
            else:
                self._write_lost(note, folder)
        if record_path(folder) is None:
            raise StoreError(f"{folder}: its record is on {note.process.host} and not here")
        return read_record(folder)

    def _write_lost(self, note: JobNote, folder: Path) -> None:
        """Write the record of a run that left none.

        Raises:
            OSError: The folder of the run cannot be read.
            ValueError: It is not the folder of a run, or the record cannot be written.
        """
        lost = self._worker.lost.get(note.num) or _gone(note)
        self._waiting.for_log(folder / "log.txt", GRACE_S)
        if record_path(folder) is not None:
            return
        config = yaml.safe_load(read_file(folder / "config.yaml"))
        host = {"name": note.process.host, "scheduler": note.scheduler}
        job = Job(
            identity=identity_of(folder, config), folder=folder, title="", config=config, host=host
        )
        write_record(folder, self._worker.command.lost_record(job, lost))

    def _add_to_ledger(self, run: JobRun, record: RunRecord) -> None:
        """Note the launch and the end of a run that another process made."""
        note_launch(Path(run.folder), record.identity, run.overrides, sweep_id())
        note_end(Path(run.folder), record)

    def _take_errors(self, note: JobNote) -> None:
        if note.num in self._worker.notes:
            # Printed as they came.
            self._result.refused |= bool(note.errors) and not note.failed
            self._result.failed |= note.failed
            return
        for text in note.errors:
            self._add_error(note, text, failed=note.failed)

    def _add_error(self, note: JobNote, text: str, *, failed: bool) -> None:
        job = f"job {note.num + 1}, {self._name(note.overrides)} ({note.process.host})"
        self._jobs.setdefault((text, failed), []).append(job)

    def _report_errors(self) -> None:
        """Report the errors of jobs: one line for each job, but one for very many with the same."""
        for (text, failed), jobs in self._jobs.items():
            for named in [first_and_more(jobs)] if len(jobs) > _MOST_LINES else jobs:
                self._error(f"{named}: {text}", failed=failed)

    def _count_missing(self, notes: Sequence[JobNote], *, interrupted: bool) -> None:
        """Report the jobs that were never started, with the reason if it is known."""
        plan = self._multirun.plan
        if plan is None:
            return
        noted = {note.num for note in notes}
        by_reason: dict[str, list[str]] = {}
        for job in plan.jobs:
            if job.num not in noted:
                self._result.num_missing += len(job.keys)
                lost = self._worker.lost.get(job.num)
                reason = lost.reason if lost else self._multirun.error
                by_reason.setdefault(reason or "", []).append(self._name(job.overrides))
        if interrupted:
            return
        for reason, jobs in by_reason.items():
            why = f": {reason}" if reason else ""
            self._error(f"{first_and_more(jobs)}: never started{why}", failed=True)

    def _name(self, overrides: Sequence[str]) -> str:
        return distinguishing(overrides, self._multirun.swept)

    def _error(self, text: str, *, failed: bool) -> None:
        self._result.errors.append(text)
        self._result.failed |= failed
        self._result.refused |= not failed


def _place(order: Mapping[tuple[str, ...], int], overrides: Sequence[str]) -> int:
    """The place of a run's job; a job with several runs adds to their overrides."""
    for length in range(len(overrides), -1, -1):
        if (place := order.get(tuple(overrides[:length]))) is not None:
            return place
    return len(order)


def _job(run: JobRun, folder: Path) -> Job:
    """As much of a job as its note tells."""
    identity = RunIdentity(
        run_id=folder.name,
        command=run.key.command,
        config_hash=run.key.config_hash,
        seed=run.key.seed,
        repeat=run.key.repeat,
        started_utc=utc_now(),
    )
    return Job(identity=identity, folder=folder, title="", config={}, host={})


def _gone(note: JobNote) -> LostJob:
    process = note.process
    return LostJob(
        num=note.num,
        state="GONE",
        node=process.host,
        reason=f"process {process.pid} on {process.host}, which made the run, ended without a word",
        status="killed",
    )
