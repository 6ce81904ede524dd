"""Starts the jobs of a command, and reports at its end what became of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench.cli.app import run_app
from bench.cli.gather import Gathered, Gathering
from bench.cli.multirun import MULTIRUN
from bench.cli.start import INTERRUPTED, USAGE_ERROR, output_was_lost
from bench.cli.stop_jobs import stop_jobs
from bench.cli.sweep_report import (
    Command,
    has_failed,
    has_found_skew,
    print_errors,
    print_folders,
    print_runs,
    short_path,
    write_sweep,
)
from bench.cli.terminal import say, wide_console
from bench.cli.worker import Worker
from bench.core.environment import settle_environment
from bench.launch.stopping import Stopped, delay_signals
from bench.launch.team import Nodes

FOUND = 1
RUN_FAILED = 5


def run_command(name: str, load: Callable[[], Command]) -> int:
    """Make the runs that the command line asks for, print their tables, and return the exit code.

    Whatever the launcher of Hydra does, what was measured is gathered and reported.

    Args:
        name: The name of the command.
        load: Imports its parts. They are slow to import, and a wrong key needs none of them.
    """
    nodes = Nodes(os.environ)  # before the variables of a launcher are removed
    settle_environment()
    MULTIRUN.clear()
    worker = Worker(load, nodes)
    code = run_app(
        name, worker.run_job, on_signal=lambda number: stop_jobs(MULTIRUN.folder, number)
    )
    return _Report(worker).finish(code)


class _Report:
    """Reports on the jobs of a command."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._console = Console(stderr=True)
        self._gathered = Gathered()

    def finish(self, exit_code: int) -> int:
        """Gather all runs, write their file, print the tables, and return the command's exit code.

        A signal that comes meanwhile waits, so that everything measured is reported.
        """
        try:
            with delay_signals():
                interrupted = exit_code == INTERRUPTED
                gathering = Gathering(self._worker, MULTIRUN)
                self._gathered = gathering.gather(interrupted=interrupted)
                self._report()
        except Stopped:
            exit_code = exit_code or INTERRUPTED
        if exit_code == INTERRUPTED and not self._worker.nodes.follows:
            self._say_how_to_go_on()
        if exit_code:
            return exit_code
        failed = self._gathered.failed or any(has_failed(run.record) for run in self._gathered.runs)
        if failed or output_was_lost():
            return RUN_FAILED
        if any(has_found_skew(run.record) for run in self._gathered.runs):
            return FOUND
        return USAGE_ERROR if self._gathered.refused else 0

    def _report(self) -> None:
        print_errors(self._gathered.errors, self._console)
        self._name_logs()
        if runs := self._gathered.runs:
            console = wide_console()
            path = self._write_file()  # first, because printing waits for a slow reader
            print_runs(self._worker.command, runs, console)
            self._report_search(console)
            if path is not None:
                say(console, f"every run: {short_path(path)}")
            print_folders(runs, console)
        if num := self._gathered.num_found:
            say(
                self._console,
                f"{num} of {max(MULTIRUN.num_runs, len(runs))} runs were finished before: "
                f"resume={MULTIRUN.resume} does not repeat them",
            )

    def _name_logs(self) -> None:
        """Say where jobs that failed outside of their runs left their messages and tracebacks."""
        logs = MULTIRUN.folder and MULTIRUN.folder / ".submitit"
        if logs and self._gathered.failed and self._gathered.errors and any(logs.glob("*/*.err")):
            say(self._console, f"what the jobs printed: {short_path(logs)}")

    def _report_search(self, console: Console) -> None:
        search, folder = MULTIRUN.search, MULTIRUN.folder
        if search is None or folder is None:
            return
        try:
            path = search.write(folder)
        except OSError as error:
            self._gathered.failed = True
            say(self._console, f"error: {folder}: cannot write there ({error.strerror})")
            path = None
        for part in search.tables(console):
            console.print(part, highlight=False)
        if path is not None:
            say(console, f"the search: {short_path(path)}")

    def _write_file(self) -> Path | None:
        """Write all runs of a sweep to one file, in Hydra's folder of the sweep."""
        if MULTIRUN.folder is None:
            return None
        path = MULTIRUN.folder / "sweep.csv"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return write_sweep(path, self._gathered.runs, self._worker.command.columns)
        except OSError as error:
            self._gathered.failed = True
            say(self._console, f"error: {path}: cannot write there ({error.strerror})")
            return None

    def _say_how_to_go_on(self) -> None:
        rest = max(0, MULTIRUN.num_runs - len(self._gathered.runs))
        again = f"the same command with resume={MULTIRUN.resume}"
        missing = f": {rest} of {MULTIRUN.num_runs} runs were not started" if rest else ""
        say(self._console, f"interrupted{missing}; {again} continues")
