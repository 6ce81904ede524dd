"""Shows the progress of a sweep whose jobs run on the nodes of a cluster.

Each run that has ended leaves a line. The jobs that wait and run have one line that is redrawn on a
terminal; a log gets it when it changes, and rarely.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import TextColumn
from rich.table import Column

from bench.cli.multirun import Multirun
from bench.cli.overrides import of_swept_keys
from bench.cli.terminal import Line, RunCounter, safe_line, say
from bench.core.files import StoreError
from bench.core.records.run import RunRecord
from bench.core.store import read_record
from bench.core.sweep_folder import JobNote, JobRun
from bench.launch.slurm_jobs import Standing

_LOG_EVERY_S = 30.0
_MOST_NAMES = 4


class JobsLine(Line):
    """Shows how many jobs are done, run and wait, as a context manager."""

    def __init__(
        self, console: Console, *, wanted: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Show nothing yet.

        Args:
            console: The console to print to.
            wanted: Whether to show anything.
            clock: Returns monotonic seconds.
        """
        super().__init__(
            console,
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            shown=wanted and console.is_terminal,
        )
        self._console = console
        self._in_log = wanted and not console.is_terminal
        self._clock = clock
        self._shown = ""
        self._shown_s = -_LOG_EVERY_S
        self._task = self._bar.add_task("", visible=False)

    def show(self, text: str) -> None:
        """Show the text in place of the one before; in a log, below it and not too often."""
        if text == self._shown:
            return
        if not self._in_log:
            self._bar.update(self._task, description=safe_line(text), visible=True, refresh=True)
        elif self._clock() - self._shown_s < _LOG_EVERY_S:
            return  # the text remains new, and is printed later
        else:
            say(self._console, text)
            self._shown_s = self._clock()
        self._shown = text


def standing_text(standing: Standing) -> str:
    """Put in words how far the jobs have come: `3 of 12 done, 2 running on node1, node2`."""
    lost = f" ({standing.num_lost} lost)" if standing.num_lost else ""
    parts = [f"{standing.num_done} of {standing.num_jobs} done{lost}"]
    if standing.nodes:
        nodes = sorted(set(standing.nodes))
        where = ", ".join(nodes) if len(nodes) <= _MOST_NAMES else f"{len(nodes)} nodes"
        parts.append(f"{len(standing.nodes)} running on {where}")
    if standing.waiting:
        reasons = sorted(filter(None, standing.waiting), key=lambda each: -standing.waiting[each])
        why = f" ({', '.join(reasons[:_MOST_NAMES])})" if reasons else ""
        parts.append(f"{sum(standing.waiting.values())} waiting in the queue{why}")
    return ", ".join(parts)


class RunLines:
    """Prints a line for each run of the jobs that has ended."""

    def __init__(
        self, counter: RunCounter, multirun: Multirun, describe: Callable[[RunRecord], str]
    ) -> None:
        """Print nothing yet.

        Args:
            counter: Numbers the runs, and prints the lines.
            multirun: The sweep.
            describe: Describes a run that has ended.
        """
        self._counter = counter
        self._num_runs = multirun.num_runs
        self._swept = multirun.swept
        self._describe = describe
        self._num_reported: dict[int, int] = {}  # of the runs of a job, by its number

    def show(self, notes: Mapping[int, JobNote]) -> None:
        """Print the runs that have ended since the last call."""
        for num, note in notes.items():
            ended = [run for run in note.runs if run.ended or run.found]
            for run in ended[self._num_reported.get(num, 0) :]:
                self._report(run, note)
            self._num_reported[num] = len(ended)

    def _report(self, run: JobRun, note: JobNote) -> None:
        node = (note.scheduler or {}).get("node") or note.process.host
        name = " ".join(of_swept_keys(run.overrides, self._swept)) or Path(run.folder).name
        title = self._counter.name_next(self._num_runs, f"{name} ({node})")
        if run.found:
            return
        try:
            record = read_record(Path(run.folder))
        except StoreError as error:
            self._counter.report(title, str(error), important=True)
        else:
            is_last = self._counter.num_started >= self._num_runs
            important = is_last or record.status != "ok"
            self._counter.report(title, self._describe(record), important=important)
