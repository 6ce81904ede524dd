"""What resume= need not make again: finished runs, and runs that another sweep is still making."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.cli.overrides import distinguishing
from bench.core.checks import value_at
from bench.core.files import StoreError
from bench.core.finished import FinishedRuns
from bench.core.identity import charges_of
from bench.core.printable import first_and_more
from bench.core.process import Process
from bench.core.records.run import RunRecord
from bench.core.store import read_record
from bench.core.sweep_folder import JobNote, JobRun, PlannedJob, RunKey, SweepFolder, SweepPlan
from bench.launch.slurm import SlurmJob, SlurmStates

RESUME_COMPARABLE = "comparable"  # value of resume= that repeats runs which are not comparable


class Finished:
    """Finds the finished runs that resume= accepts in place of new ones."""

    def __init__(self, say: Callable[[str], None], *, at_once: bool = False) -> None:
        """Read nothing yet.

        Args:
            say: Told in one line about a run that has to be made again.
            at_once: Whether all questions are about the same moment.
        """
        self._say = say
        self._at_once = at_once
        self._runs: dict[Path, FinishedRuns] = {}

    def find(self, key: RunKey, config: Mapping[str, Any]) -> tuple[Path, RunRecord] | None:
        """Find a run with this key and the same prices that resume= accepts.

        Args:
            key: The run that would be made.
            config: Its resolved configuration.

        Raises:
            StoreError: The results folder cannot be read.
        """
        resume = config["resume"]
        if not resume:
            return None
        results = Path(config["results"]).absolute()
        runs = self._runs.setdefault(results, FinishedRuns(results, at_once=self._at_once))
        for folder in runs.find(key.command, key.config_hash, key.seed, key.repeat):
            try:
                record = read_record(folder)
            except StoreError as error:
                self._say(f"made again: {error}")
                continue
            comparable = record.health is None or record.health.comparable
            usable = record.status == "ok" and (comparable or resume != RESUME_COMPARABLE)
            usable = usable and _was_long_enough(record, config)
            if usable and charges_of(record.config) == charges_of(config):
                return folder, record
        return None


def _was_long_enough(record: RunRecord, config: Mapping[str, Any]) -> bool:
    """Whether a run would not go on any longer if it were made again.

    A run that a search has stopped would, unless it is to be stopped at the same cost or earlier.
    """
    name = record.target.cut_off_by if record.target is not None else None
    if name is None:
        return True
    limit, before = (value_at(each, f"cutoff.{name}") for each in (config, record.config))
    return limit is not None and before is not None and limit <= before


class Resumed:
    """The jobs of a sweep that need not be launched.

    Attributes:
        found: A note for each job whose runs have all been found finished.
    """

    def __init__(self, command: str, say: Callable[[str], None]) -> None:
        """Look at nothing yet.

        Args:
            command: The command.
            say: Prints a line.
        """
        self.found: list[JobNote] = []
        self._say = say
        self._finished = Finished(lambda text: say(f"note: {text}"), at_once=True)
        self._at_work: dict[Path, Mapping[RunKey, str]] = {}
        self._running: dict[str, list[Sequence[str]]] = {}  # overrides, by who makes the run

    def covers(
        self, overrides: Sequence[str], keys: Sequence[RunKey], config: Mapping[str, Any]
    ) -> bool:
        """Whether all runs of a job are finished, or one of them is being made by another sweep.

        Args:
            overrides: The overrides of the job.
            keys: Its runs.
            config: Of the values of the job, at least `resume`, `results`, `price` and `grid`.

        Raises:
            StoreError: The results folder cannot be read.
        """
        if not config["resume"]:
            return False
        done = [self._finished.find(key, config) for key in keys]
        runs = [
            JobRun(folder=str(each[0]), overrides=overrides, key=key, found=True, ended=True)
            for each, key in zip(done, keys, strict=True)
            if each is not None
        ]
        if keys and len(runs) == len(keys):
            note = JobNote(
                num=-1, overrides=overrides, process=Process.current(), runs=runs, ended=True
            )
            self.found.append(note)
            return True
        results = Path(config["results"]).absolute()
        if results not in self._at_work:
            self._at_work[results] = runs_at_work(results, self._say)
        makers = [self._at_work[results][key] for key in keys if key in self._at_work[results]]
        for maker in makers[:1]:
            self._running.setdefault(maker, []).append(overrides)
        return bool(makers)

    def report(self, swept: Sequence[str]) -> None:
        """Print which runs other sweeps are still making.

        Args:
            swept: The keys that differ between the jobs.
        """
        for maker, jobs in self._running.items():
            names = first_and_more([distinguishing(each, swept) for each in jobs])
            self._say(
                f"not started again: {names}: still being made by {maker}; the same "
                "command shows it once it has ended"
            )


def runs_at_work(results: Path, say: Callable[[str], None]) -> Mapping[RunKey, str]:
    """The runs that other sweeps are still making or are going to make, and who makes each.

    A sweep that has written its table has ended, and so have its jobs.

    Args:
        results: The results folder.
        say: Prints a line.

    Raises:
        StoreError: The files of a sweep cannot be read.
        SlurmError: SLURM does not say which of its jobs still run.
    """
    sweeps = _open_sweeps(results)
    states = _ask_slurm([each for sweep in sweeps for each in sweep.ids.values()], say)
    found: dict[RunKey, str] = {}
    for plan, jobs, notes, ids in sweeps:
        launcher = plan.process if plan.process.is_alive() else None
        for job in jobs:
            note, in_slurm = notes.get(job.num), states.get(ids.get(job.num, ""))
            process = note.process if note is not None and note.process.is_alive() else launcher
            maker = None
            if in_slurm is not None:
                maker = _in_slurm(ids[job.num], in_slurm)
            elif process is not None:
                maker = f"process {process.pid} on {process.host}"
            if maker is not None:
                found |= dict.fromkeys(job.keys, maker)
    return found


class _OpenSweep(NamedTuple):
    """A sweep that has written no table: its plan, and what is known of its open jobs."""

    plan: SweepPlan
    jobs: Sequence[PlannedJob]
    notes: Mapping[int, JobNote]
    ids: Mapping[int, str]  # of the jobs in SLURM


def _open_sweeps(results: Path) -> Sequence[_OpenSweep]:
    """The sweeps that may still have jobs.

    Raises:
        StoreError: The files of a sweep cannot be read.
    """
    sweeps = []
    for path in sorted((results / "sweeps").glob("*/")):
        folder = SweepFolder(path)
        try:
            if (path / "sweep.csv").exists() or (plan := folder.read_plan()) is None:
                continue
            launched = folder.read_launched()
        except StoreError as error:
            hint = "resume= cannot tell what this sweep still makes; if nothing, remove its folder"
            raise StoreError(f"{error}; {hint}") from error
        notes = folder.read_notes()
        jobs = [job for job in plan.jobs if job.num not in notes or not notes[job.num].ended]
        # Hydra's own launcher for SLURM writes no ids down, but a job that has begun knows its own.
        ids = {note.num: note.slurm_id for note in notes.values() if note.slurm_id is not None}
        ids |= launched
        open_ids = {job.num: ids[job.num] for job in jobs if job.num in ids}
        sweeps.append(_OpenSweep(plan, jobs, notes, open_ids))
    return sweeps


def _ask_slurm(ids: Collection[str], say: Callable[[str], None]) -> Mapping[str, SlurmJob]:
    """Ask for the jobs of all sweeps at once: there may be many old sweeps."""
    if not ids:
        return {}
    if shutil.which("squeue") is None:
        say(f"note: whether {len(ids)} jobs still run cannot be seen here, without squeue")
        return {}
    return SlurmStates().ask(ids)


def _in_slurm(job_id: str, job: SlurmJob) -> str | None:
    if job.is_over:
        return None
    return f"SLURM job {job_id}, {job.state.lower()}{f' on {job.node}' if job.node else ''}"
