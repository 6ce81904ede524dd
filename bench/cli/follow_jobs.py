"""Follows jobs in SLURM: looks at them, shows how far they are, and launches them one by one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from time import sleep

from rich.console import Console

from bench.cli.app import LaunchFailed
from bench.cli.cluster_progress import JobsLine, RunLines, standing_text
from bench.cli.multirun import MULTIRUN
from bench.cli.terminal import say
from bench.core.sweep_folder import JobNote
from bench.launch.slurm_jobs import SlurmJobs

LOOK_EVERY_S = 1.0  # at the notes of the jobs


class Watch:
    """Looks at jobs, and shows how far they are."""

    def __init__(
        self, jobs: SlurmJobs, console: Console, line: JobsLine, runs: RunLines | None
    ) -> None:
        self._jobs = jobs
        self._console = console
        self._line = line
        self._runs = runs
        self._is_silent = False

    def look(self) -> Mapping[int, JobNote]:
        """The notes of the jobs that have begun."""
        jobs = self._jobs
        notes = jobs.update()
        if self._runs is not None:
            self._runs.show(notes)
        if not jobs.are_over():
            self._line.show(standing_text(jobs.standing(notes)))
        if jobs.outage and not self._is_silent:
            text = f"waiting: SLURM does not answer; jobs go on without it ({jobs.outage})"
            say(self._console, text)
        self._is_silent = jobs.outage is not None
        return notes


class Following:
    """Launches jobs one by one (bench.cli.adaptive.Launching)."""

    def __init__(
        self,
        jobs: SlurmJobs,
        watch: Watch,
        submit: Callable[[int, Sequence[str]], None],
        most: int,
    ) -> None:
        self._jobs = jobs
        self._watch = watch
        self._submit = submit
        self._most = most
        self._out: set[int] = set()
        self._begun: set[int] = set()

    def is_ready(self) -> bool:
        """Whether every job has begun: only one waits in the queue for the next free node."""
        return len(self._out) < self._most and self._out <= self._begun

    def start(self, num: int, overrides: Sequence[str]) -> None:
        """Submit a job.

        Raises:
            LaunchFailed: SLURM does not take it, and so would not take the next one.
        """
        self._submit(num, overrides)
        if (refused := self._jobs.lost.get(num)) is not None:
            MULTIRUN.error = refused.reason
            raise LaunchFailed(f"hydra/launcher=slurm: {refused.reason}")
        self._out.add(num)

    def wait(self) -> Collection[int]:
        """Wait until a job has ended or is lost, or the next one may be submitted."""
        was_ready = self.is_ready()
        while True:
            notes = self._watch.look()
            self._begun |= notes.keys()
            ended = {
                num
                for num in self._out
                if num in self._jobs.lost or (num in notes and notes[num].ended)
            }
            self._out -= ended
            if ended or (self.is_ready() and not was_ready):
                return sorted(ended)
            sleep(LOOK_EVERY_S)
