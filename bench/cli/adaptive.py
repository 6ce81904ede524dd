"""Makes the jobs of a sweep one by one, as a search asks for them and learns from their results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from bench.cli.candidates import Candidate
from bench.cli.gather import Gathering
from bench.cli.multirun import Multirun
from bench.cli.resume import Finished
from bench.cli.worker import Worker
from bench.core.process import Process
from bench.core.records.run import RunRecord
from bench.core.sweep_folder import JobNote, JobRun, PlannedJob, RunKey, SweepFolder
from bench.search.trial import Result, Search, Trial

Ending = Literal["reached", "missed", "stopped", "failed", "interrupted"]
_CUTOFFS = ("max_time_s", "max_energy_j", "max_cost_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A trial and its result.

    Attributes:
        trial: What the search asked for, or what is known of an earlier run.
        result: What became of it.
        seed: The seed itself.
        folder: The folder of its run; None if there is none.
        found: Whether resume= found the run finished.
        ending: How it ended.
    """

    trial: Trial
    result: Result
    seed: int
    folder: Path | None
    found: bool
    ending: Ending


class Launching(Protocol):
    """Launches jobs one by one."""

    def is_ready(self) -> bool:
        """Whether a job that is launched now would begin soon."""

    def start(self, num: int, overrides: Sequence[str]) -> None:
        """Launch a job; it may end before this returns."""

    def wait(self) -> Collection[int]:
        """Wait until is_ready() may have changed, or a job has ended; the jobs that have."""


class InProcess:
    """Makes each job in this process, when it is launched."""

    def __init__(self, launch: Callable[[Sequence[Sequence[str]], int], Any]) -> None:
        """Launch nothing yet; `launch` takes jobs and the number of the first."""
        self._launch = launch
        self._ended: list[int] = []

    def is_ready(self) -> bool:
        """Whether every job that was launched has been waited for."""
        return not self._ended

    def start(self, num: int, overrides: Sequence[str]) -> None:
        """Make a job."""
        self._launch([overrides], num)
        self._ended.append(num)

    def wait(self) -> list[int]:
        """The jobs that were made since the last call."""
        ended, self._ended = self._ended, []
        return ended


class AdaptiveSweep:
    """A sweep whose jobs a search chooses.

    Attributes:
        history: What the search was told, in that order.
    """

    def __init__(
        self,
        search: Search,
        candidates: Sequence[Candidate],
        seeds: Sequence[int],
        *,
        worker: Worker,
        multirun: Multirun,
        result_of: Callable[[RunRecord], Result],
        limit_key: str | None = None,
    ) -> None:
        """Launch nothing yet.

        Args:
            search: Chooses the trials.
            candidates: The configurations of its grid, in order.
            seeds: The seeds that its trials may have, in order.
            worker: The worker of the command.
            multirun: The sweep, whose plan is extended with each job.
            result_of: What a record means to the search.
            limit_key: The key of the group `cutoff` for the limit of a trial; None if the search
                sets no limits.
        """
        self.history: list[Step] = []
        multirun.order = [candidate.overrides for candidate in candidates]
        self._search = search
        self._candidates = candidates
        self._seeds = seeds
        self._worker = worker
        self._multirun = multirun
        self._result_of = result_of
        self._limit_key = limit_key
        self._gathering = Gathering(worker, multirun)
        self._planned: list[PlannedJob] = []
        self._out: dict[int, Trial] = {}

    def run(self, launching: Launching) -> None:
        """Tell the search what is known, then make the trials that it asks for until it is over.

        Args:
            launching: Launches the jobs.

        Raises:
            StoreError: The results or the folder of the sweep cannot be read or written.
        """
        assert self._multirun.folder is not None
        assert self._multirun.plan is not None
        self._folder = SweepFolder(self._multirun.folder)
        self._multirun.plan = replace(self._multirun.plan, jobs=self._planned)
        self._tell_finished()
        while True:
            while launching.is_ready() and (trial := self._search.ask()) is not None:
                self._start(trial, launching)
            if not self._out:
                return
            for num in launching.wait():
                self._take(num)

    def _tell_finished(self) -> None:
        """Tell the search the runs that resume= finds finished, in the order of their start."""
        finished = Finished(lambda _: None, at_once=True)
        known = []
        for place, candidate in enumerate(self._candidates):
            for seed in range(len(self._seeds)):
                done = self._find(finished, candidate, self._key(candidate, seed))
                if done is not None:
                    known.append((done[1].started_utc, done[1].run_id, place, seed, *done))
        for num, (*_, place, seed, folder, record) in enumerate(sorted(known, key=_start)):
            result = self._result_of(record)
            limit = result.spent if _is_cut_off(record) else None
            trial = Trial(num=num, candidate=place, seed=seed, limit=limit)
            key = self._key(self._candidates[place], seed)
            overrides = self._overrides(replace(trial, limit=None))
            run = JobRun(folder=str(folder), overrides=overrides, key=key, found=True, ended=True)
            note = JobNote(
                num=-1, overrides=overrides, process=Process.current(), runs=[run], ended=True
            )
            self._multirun.found = [*self._multirun.found, note]
            self._tell(trial, result, folder, record, found=True)
        self._multirun.num_found = len(known)

    def _find(
        self, finished: Finished, candidate: Candidate, key: RunKey
    ) -> tuple[Path, RunRecord] | None:
        """The finished run with this key: one with its whole budget, else one that was stopped."""
        whole = finished.find(key, candidate.facts)
        if whole is not None or self._limit_key is None:
            return whole
        # No limit is lower than 0, so any run that was stopped will do.
        return finished.find(key, {**candidate.facts, "cutoff": dict.fromkeys(_CUTOFFS, 0.0)})

    def _start(self, trial: Trial, launching: Launching) -> None:
        """Add the job of a trial to the plan, and launch it."""
        overrides = self._overrides(trial)
        key = self._key(self._candidates[trial.candidate], trial.seed)
        job = PlannedJob(num=len(self._planned), overrides=overrides, keys=[key])
        self._folder.add_to_plan(job)
        self._planned.append(job)
        self._out[job.num] = trial
        launching.start(job.num, overrides)

    def _key(self, candidate: Candidate, seed: int) -> RunKey:
        return replace(candidate.key, seed=self._seeds[seed])

    def _overrides(self, trial: Trial) -> list[str]:
        overrides = [*self._candidates[trial.candidate].overrides]
        overrides.append(f"seed={self._seeds[trial.seed]}")
        if trial.limit is not None:
            assert self._limit_key is not None
            overrides.append(f"cutoff.{self._limit_key}={trial.limit!r}")
        return overrides

    def settle(self) -> None:
        """Add what is known of the trials that were out when something ended the sweep."""
        for num, trial in self._out.items():
            note = self._note(num)
            record = None if note is None else self._record(note)
            if note is not None and record is not None:
                result = replace(self._result_of(record), failed=False)
                self._keep(trial, result, Path(note.runs[-1].folder), _ending(record, result))
        self._out.clear()

    def _take(self, num: int) -> None:
        """Tell the search how the job of a trial has ended."""
        trial, note = self._out.pop(num), self._note(num)
        record = None if note is None else self._record(note)
        if record is not None and note is not None:
            self._tell(trial, self._result_of(record), Path(note.runs[-1].folder), record)
            return
        # Lost or refused before its run began, or nothing is known of the run.
        began = note is not None and bool(note.runs)
        failed = Result(spent=None if began else 0.0, reached=False, failed=True)
        self._tell(trial, failed, None, None)

    def _note(self, num: int) -> JobNote | None:
        return self._worker.notes.get(num) or self._folder.read_note(num)

    def _record(self, note: JobNote) -> RunRecord | None:
        for run in note.runs[-1:]:
            if run.folder in self._worker.records:
                return self._worker.records[run.folder]
            try:
                return self._gathering.record_of(note, run)
            except (OSError, ValueError):  # the report at the end says why
                return None
        return None

    def _tell(
        self,
        trial: Trial,
        result: Result,
        folder: Path | None,
        record: RunRecord | None,
        *,
        found: bool = False,
    ) -> None:
        self._search.tell(trial, result)
        self._keep(trial, result, folder, _ending(record, result), found=found)

    def _keep(
        self,
        trial: Trial,
        result: Result,
        folder: Path | None,
        ending: Ending,
        *,
        found: bool = False,
    ) -> None:
        seed = self._seeds[trial.seed]
        self.history.append(
            Step(trial=trial, result=result, seed=seed, folder=folder, found=found, ending=ending)
        )


def _ending(record: RunRecord | None, result: Result) -> Ending:
    if record is not None and record.status == "interrupted":
        return "interrupted"
    if result.failed:
        return "failed"
    if result.reached:
        return "reached"
    return "stopped" if record is not None and _is_cut_off(record) else "missed"


def _is_cut_off(record: RunRecord) -> bool:
    return record.target is not None and record.target.cut_off_by is not None


def _start(known: tuple[Any, ...]) -> tuple[Any, ...]:
    return known[:2]
