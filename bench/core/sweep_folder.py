"""The folder of a sweep: what was planned, and how far each job has come.

results/<...>/sweeps/<id>/plan.json is written before anything is launched; a search adds a line to
plan.jsonl for each job. Each job has one file, jobs/<num>.json, which only the process that makes
the job writes. These files, and not the values that a launcher returns, say what became of a sweep:
a job may be made on another node, and may be lost with its process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.core.errors import first_error
from bench.core.files import StoreError, list_folder, read_file, replace_file, unwritable_message
from bench.core.json_lines import append_line, read_lines
from bench.core.process import Process

_PLAN, _ADDED, _LAUNCHED, _JOBS = "plan.json", "plan.jsonl", "launched.jsonl", "jobs"
_T = TypeVar("_T")
_Write = Callable[[Path, bytes], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """What tells a run apart from those that resume= does not repeat."""

    command: str
    config_hash: str
    seed: int
    repeat: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """A job that is going to be launched.

    Attributes:
        num: Its number in the sweep, from 0.
        overrides: Its overrides on the command line.
        keys: The runs that it makes.
    """

    num: int
    overrides: Sequence[str]
    keys: Sequence[RunKey] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """All jobs of a sweep, as they were planned before the first one was launched.

    Attributes:
        command: The command, such as `train`.
        process: The process that launches the jobs and gathers their records.
        swept: The keys that differ between the jobs.
        num_runs: Number of runs of all jobs.
        jobs: The jobs in order.
    """

    command: str
    process: Process
    swept: Sequence[str]
    num_runs: int
    jobs: Sequence[PlannedJob]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """A run of a job.

    Attributes:
        folder: The folder of the run.
        overrides: What distinguishes it, as overrides.
        key: What resume= recognises it by.
        found: Whether resume= found it finished, so that it was not made again.
        ended: Whether it has ended and has its record.
    """

    folder: str
    overrides: Sequence[str]
    key: RunKey
    found: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNote:
    """How far a job has come, in the words of the process that makes it.

    Attributes:
        num: The number of the job in its sweep.
        overrides: Its overrides on the command line.
        process: The process that makes it.
        scheduler: The batch system's facts about the job; None without one.
        runs: Its runs so far.
        errors: Why it could not start, or could not go on; one line each.
        failed: Whether one of the errors is a failure, and not a refusal before the run.
        ended: Whether the process has finished with it.
    """

    num: int
    overrides: Sequence[str]
    process: Process
    scheduler: Mapping[str, Any] | None = None
    runs: Sequence[JobRun] = field(default_factory=list)
    errors: Sequence[str] = field(default_factory=list)
    failed: bool = False
    ended: bool = False

    @property
    def slurm_id(self) -> str | None:
        """The job's number in SLURM; None if another batch system or none has it."""
        scheduler = self.scheduler or {}
        return scheduler.get("job_id") if scheduler.get("kind") == "slurm" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LostJob:
    """A job that ended without noting its end, as a batch system describes it.

    Attributes:
        num: The number of the job.
        state: Its state in the batch system, such as `TIMEOUT`.
        node: The node that made it; None if it never began.
        reason: What happened, in one line for people.
        status: How the record of its run reads.
    """

    num: int
    state: str
    node: str | None
    reason: str
    status: Literal["killed", "interrupted"]


_PLAN_FORM: TypeAdapter[SweepPlan] = TypeAdapter(SweepPlan)
_JOB_FORM: TypeAdapter[PlannedJob] = TypeAdapter(PlannedJob)
_IDS_FORM: TypeAdapter[dict[int, str]] = TypeAdapter(dict[int, str])
_NOTE_FORM: TypeAdapter[JobNote] = TypeAdapter(JobNote)


class SweepFolder:
    """Reads and writes the files of a sweep.

    Attributes:
        path: The folder, results/sweeps/<id>.
    """

    def __init__(self, path: Path) -> None:
        """Read and write nothing yet."""
        self.path = path
        self._notes: dict[int, JobNote] = {}
        self._stamps: dict[int, tuple[int, int]] = {}  # of the files that were read

    def write_plan(self, plan: SweepPlan) -> None:
        """Write down what is going to be launched.

        Raises:
            StoreError: The folder cannot be written.
        """
        self._write(_PLAN, _PLAN_FORM.dump_json(plan, indent=1))

    def add_to_plan(self, job: PlannedJob) -> None:
        """Add a job to the plan, before it is launched.

        Raises:
            StoreError: The folder cannot be written.
        """
        self._write(_ADDED, _JOB_FORM.dump_json(job), append_line)

    def read_plan(self) -> SweepPlan | None:
        """The plan; None for a sweep that another sweeper than ours makes up as it goes.

        Raises:
            StoreError: A file cannot be read.
        """
        plan = self._read(_PLAN, _PLAN_FORM)
        added = read_lines(self.path / _ADDED, _JOB_FORM)
        return plan and replace(plan, jobs=[*plan.jobs, *added])

    def add_launched(self, ids: Mapping[int, str]) -> None:
        """Write down the batch system's id of further jobs, by their numbers.

        Raises:
            StoreError: The folder cannot be written.
        """
        self._write(_LAUNCHED, _IDS_FORM.dump_json(dict(ids)), append_line)

    def read_launched(self) -> Mapping[int, str]:
        """The batch system's ids of all jobs that were launched, by their numbers.

        Raises:
            StoreError: The file cannot be read.
        """
        rows = read_lines(self.path / _LAUNCHED, _IDS_FORM)
        return {num: job_id for ids in rows for num, job_id in ids.items()}

    def write_note(self, note: JobNote) -> None:
        """Write how far a job has come, in place of what its file said before.

        Raises:
            StoreError: The folder cannot be written.
        """
        self._write(f"{_JOBS}/{note.num}.json", _NOTE_FORM.dump_json(note, indent=1))

    def read_note(self, num: int) -> JobNote | None:
        """The note of a job; None if it has not begun, or its note cannot be read."""
        self._read_note(self.path / _JOBS / f"{num}.json")
        return self._notes.get(num)

    def read_notes(self) -> Mapping[int, JobNote]:
        """The notes of all jobs that have begun, by their numbers.

        Only files that have changed since the last call are read. A file that cannot be read counts
        as one that is not there yet.
        """
        folder = self.path / _JOBS
        with suppress(StoreError):
            for name in list_folder(folder):
                self._read_note(folder / name)
        return self._notes

    def _read_note(self, path: Path) -> None:
        num = int(path.stem) if path.stem.isdecimal() else -1
        before = self._notes.get(num)
        if num < 0 or (before is not None and before.ended):
            return
        with suppress(StoreError, OSError):  # one that cannot be read must not hide the others
            facts = path.stat()
            stamp = (facts.st_ino, facts.st_mtime_ns)
            if self._stamps.get(num) == stamp:
                return
            if (note := self._read(f"{_JOBS}/{path.name}", _NOTE_FORM)) is not None:
                self._notes[num], self._stamps[num] = note, stamp

    def _write(self, name: str, content: bytes, write: _Write = replace_file) -> None:
        path = self.path / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, content + b"\n")
        except OSError as error:
            raise StoreError(unwritable_message(self.path, error)) from error

    def _read(self, name: str, form: TypeAdapter[_T]) -> _T | None:
        path = self.path / name
        try:
            return form.validate_json(read_file(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
        except ValidationError as error:
            raise StoreError(f"{path}: {first_error(error)}") from error
