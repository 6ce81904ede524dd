"""Measures each run in a fresh process, while other measured runs on this host wait."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.cli.ahead import preloaded_modules
from bench.cli.overrides import Planned
from bench.cli.terminal import ProgressLine, RunCounter, say
from bench.core.gpu_notes import RESTORE, has_notes
from bench.core.lock import lock_path, measuring_lock
from bench.launch.isolation import Ending, ForkServer
from bench.launch.job import Job
from bench.launch.server import NotStarted
from bench.launch.team import Nodes


class FreshProcesses:
    """Measures runs, one at a time."""

    def __init__(
        self,
        target: str,
        console: Console,
        counter: RunCounter,
        *,
        num_runs: int,
        shows_progress: bool,
    ) -> None:
        """Start nothing before the first run.

        Args:
            target: The `module:function` that makes one run.
            console: The console to print to.
            counter: Counts the runs.
            num_runs: Number of runs of the whole command.
            shows_progress: Whether to show how a run progresses, if there is a terminal.
        """
        self._server = ForkServer(preload=preloaded_modules(target))
        self._target = target
        self._console = console
        self._counter = counter
        self._num_runs = num_runs
        self._shows_progress = shows_progress

    def measure(self, job: Job) -> Ending:
        """Make a run and, unless shared=true, keep other runs on this host waiting meanwhile.

        Raises:
            KeyboardInterrupt: A signal came. It was passed to the run, which had time to end.
            NotStarted: The process of the run could not be started.
            LockError: The lock of this host cannot be used.
        """
        if job.config["shared"]:
            return self._start(job, None)
        with measuring_lock(lock_path(), str(job.folder), self._say_waiting) as lock:
            return self._start(job, lock)

    def follow(self, nodes: Nodes, planned: Planned) -> str | None:
        """Take part in a run that another node makes.

        Returns:
            Why the part of this node failed, in one line; None if it did not.

        Raises:
            KeyboardInterrupt: A signal came. It was passed to this part, which had time to end.
        """
        digest, config = planned.digest, planned.config
        return nodes.follow(digest, config, server=self._server, target=self._target)

    def _start(self, job: Job, lock: int | None) -> Ending:
        self._counter.start()
        wanted = bool(job.config["progress"]) and self._shows_progress
        is_first = self._counter.num_made == 0
        if is_first and wanted and not self._console.is_terminal:
            say(self._console, f"{job.title}: importing the libraries")
        line = ProgressLine(
            self._console,
            job.title,
            lambda: self._counter.time_left(self._num_runs),
            wanted=wanted,
            is_first=is_first,
        )
        log = job.folder / "log.txt"
        self._restore_gpus(log)  # of an earlier command that was killed
        try:
            with line:
                return self._server.run(self._target, job, log=log, on_message=line.show, lock=lock)
        finally:
            self._restore_gpus(log)  # if this run was killed

    def _restore_gpus(self, log: Path) -> None:
        """Put back what runs have set on GPUs and could not undo, and print that."""
        if has_notes():
            try:
                self._server.run(RESTORE, None, log=log, on_message=self._say_restored)
            except NotStarted as error:  # the next command tries again
                self._say_restored(f"what a run has set on a GPU is still there ({error})")

    def _say_restored(self, words: str) -> None:
        say(self._console, f"note: {words}")

    def _say_waiting(self, holder: str) -> None:
        say(
            self._console,
            f"waiting: another run is being measured on this host ({holder}); "
            "shared=true measures at the same time and marks the run",
        )
