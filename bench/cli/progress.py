"""How far a command is: a line that is redrawn where there is a terminal, and a line per run."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import TextColumn
from rich.table import Column

from bench.cli.terminal import Line, say
from bench.core.printable import printable
from bench.launch.job import Progress as Message

# Runs may end faster than a person reads or a log should grow.
_LINE_EVERY_S = 2.0
_LEAST_TITLE = 12  # characters: `run 15 of 16`
# Of a dotted key, what is before its last part.
_GROUP = re.compile(r"\b[\w.]+\.(?=\w+=)")
_MINUTE_S, _HOUR_S = 60.0, 3600.0
# Nothing is said before, nor more often; a log needs no word of what is soon over.
_PATIENCE_S = 1.0
_PATIENCE_OF_A_LOG_S = 10.0


class Course:
    """Numbers the runs of a command, tells of each that has ended, and how long the rest takes."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has been run.

        Args:
            console: Where lines are printed.
            clock: Monotonic seconds.
        """
        self._console = console
        self._clock = clock
        self._num_begun = 0
        self._began_s = clock()  # of the present run
        self._spent_s: list[float] = []  # by each run that was made
        self._said_s = -_LINE_EVERY_S
        self._num_unsaid = 0

    @property
    def num_begun(self) -> int:
        """Runs that were begun or found finished."""
        return self._num_begun

    @property
    def num_made(self) -> int:
        """Runs that were made and have ended."""
        return len(self._spent_s)

    def next(self, num_runs: int, name: str) -> str:
        """Count the next run; what it is called: `run 3 of 24, lr=0.1 model=cnn`.

        Args:
            num_runs: Of the whole command.
            name: What tells it from the others.
        """
        self._num_begun += 1
        place = f"run {self._num_begun} of {max(num_runs, self._num_begun)}, "
        return printable(place * (num_runs > 1) + name)

    def began(self) -> None:
        """The run is made from here on: what it waited for is over."""
        self._began_s = self._clock()

    def ended(self, title: str, outcome: str, *, important: bool) -> None:
        """Tell of a run that has ended, unless another line was printed just before.

        Args:
            title: As next() gave it.
            outcome: What it came to.
            important: Whether it is told in any case.
        """
        now_s = self._clock()
        self._spent_s.append(now_s - self._began_s)
        if not important and now_s < self._said_s + _LINE_EVERY_S:
            self._num_unsaid += 1
            return
        more = f" (and {self._num_unsaid} more since the last line)" if self._num_unsaid else ""
        say(self._console, f"{title}: {outcome}{more}")
        self._said_s, self._num_unsaid = now_s, 0

    def left(self, num_runs: int) -> str:
        """About how long the rest takes, by the runs before; empty where nothing is known.

        Args:
            num_runs: Of the whole command.
        """
        if not self._spent_s or num_runs <= self._num_begun:
            return ""
        mean_s = sum(self._spent_s) / len(self._spent_s)
        running_s = self._clock() - self._began_s
        rest_s = mean_s * (num_runs - self._num_begun) + max(0.0, mean_s - running_s)
        return f"; about {_duration(rest_s)} left"


def _duration(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"


class ProgressLine(Line):
    """Shows how far one run has come, as a context manager."""

    def __init__(
        self,
        console: Console,
        title: str,
        left: Callable[[], str],
        *,
        wanted: bool,
        is_first: bool = False,
    ) -> None:
        """Nothing is shown yet.

        Args:
            console: Where.
            title: Of the run.
            left: How long the rest of the command takes, as it ends the line.
            wanted: Whether to show it where there is a terminal.
            is_first: Whether the libraries have to be imported still.
        """
        super().__init__(
            console,
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            shown=wanted and console.is_terminal,
        )
        self._console = console
        self._title = title
        self._left = left
        what = "importing the libraries" if is_first else "starting"
        self._task = self._bar.add_task(self._fitted(what), total=1.0)

    def show(self, message: Message) -> None:
        """Redraw for one message of the job."""
        text = self._fitted(printable(message.stage))
        self._bar.update(self._task, description=text, refresh=True)

    def _fitted(self, stage: str) -> str:
        """The line in the terminal's width: what changes stays, the name of the run is cut."""
        news = f": {stage}{self._left()}"
        room = self._console.width - 1 - cell_len(news)
        title = self._title
        if cell_len(title) > room:
            title = _GROUP.sub("", title)
        if cell_len(title) > room:
            title = set_cell_size(title, max(_LEAST_TITLE, room - 1)).rstrip() + "…"
        return title + news


class CheckingLine(Line):
    """Shows how many jobs have been checked, as a context manager; without a terminal only once."""

    def __init__(
        self, console: Console, num_jobs: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Nothing is shown yet.

        Args:
            console: Where.
            num_jobs: Of the sweep.
            clock: Gives seconds.
        """
        super().__init__(console, TextColumn("{task.description}"), shown=console.is_terminal)
        self._console = console
        self._num_jobs = num_jobs
        self._clock = clock
        self._said_s = clock()
        self._has_said = False
        self._task = self._bar.add_task("", visible=False)

    def checked(self, num: int) -> None:
        """So many are done."""
        now_s = self._clock()
        patience_s = _PATIENCE_S if self._console.is_terminal else _PATIENCE_OF_A_LOG_S
        if now_s - self._said_s < patience_s:
            return
        self._said_s = now_s
        if self._console.is_terminal:
            text = f"checking {self._num_jobs} jobs: {num} done"
            self._bar.update(self._task, description=text, visible=True, refresh=True)
        elif not self._has_said:
            say(self._console, f"checking {self._num_jobs} jobs")
        self._has_said = True
