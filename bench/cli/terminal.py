"""Prints to the terminal: text that may be foreign, and the progress of a command.

On a terminal, one line is redrawn as a run progresses. Each run that ends leaves a line.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn
from rich.table import Column
from rich.text import Text
from typing_extensions import override

from bench.core.printable import printable
from bench.launch.job import Progress as Message
from bench.launch.needs import announcing

# CI services execute commands in a log, such as ::error:: and ##[error]. Some read them only at the
# start of a line, but long lines are folded, so any place may become the start of one.
_CI_COMMAND = re.compile(r":(?=:[A-Za-z-]+(?:::| ))|#(?=#\w*\[)")


def wide_console() -> Console:
    """The console of standard output; a file or a pipe gets lines of any length."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()  # None if it is closed
    return Console(width=None if is_terminal else 1000)


def safe_line(text: object) -> str:
    """Make foreign text one line that neither a terminal nor a CI service takes for a command."""
    return _CI_COMMAND.sub(lambda match: f"\\x{ord(match[0]):02x}", printable(text))


# The tables use only these characters beyond ASCII.
_ASCII = str.maketrans({"µ": "u", "±": "+-"})


def in_ascii(text: str) -> str:
    """Write `u` and `+-` for the signs that an ASCII console cannot show."""
    return text.translate(_ASCII)


def plain_text(text: str) -> Text:
    """Make foreign text safe to print; line breaks stay, and brackets are not markup."""
    return Text("\n".join(map(safe_line, text.split("\n"))))


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print lines that may contain foreign names, messages and paths; long lines are not cut."""
    shown_text = in_ascii(text) if console.options.ascii_only else text
    console.print(plain_text(shown_text), style=style, soft_wrap=True, highlight=False)


def announcing_checks(console: Console, *, wanted: bool) -> AbstractContextManager[None]:
    """Say in the block when what a run needs is checked, and so why nothing happens meanwhile."""
    text = "importing the libraries to check what the run needs"
    return announcing(partial(say, console, text) if wanted else None)


class Line:
    """A line on the terminal that can be redrawn, as a context manager.

    It is redrawn only when there is news. Redrawing it at regular intervals would use the CPU that
    is being measured.
    """

    def __init__(self, console: Console, *columns: ProgressColumn, shown: bool) -> None:
        """Show nothing yet.

        Args:
            console: The console to draw on.
            columns: The parts of the line.
            shown: Whether to show anything at all.
        """
        self._bar = Progress(
            *columns, console=console, auto_refresh=False, transient=True, disable=not shown
        )

    def __enter__(self) -> Self:
        self._bar.start()
        self._bar.refresh()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()


# Short runs may end faster than a person can read, or a log should grow.
_LINE_EVERY_S = 2.0
_LEAST_TITLE = 12  # characters: `run 15 of 16`
# The part of a dotted key before its last name.
_GROUP = re.compile(r"\b[\w.]+\.(?=\w+=)")
_MINUTE_S, _HOUR_S = 60.0, 3600.0
# The progress of the checks is reported at most this often.
_PATIENCE_S = 1.0


class RunCounter:
    """Numbers the runs of a command, reports each that has ended, and estimates the time left."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Start at no run.

        Args:
            console: The console to print to.
            clock: Returns monotonic seconds.
        """
        self._console = console
        self._clock = clock
        self._num_started = 0
        self._started_s = clock()  # when the current run started
        self._num_made = 0
        self._spent_s = 0.0  # by the runs that have ended
        self._shown_s = -_LINE_EVERY_S
        self._num_unreported = 0

    @property
    def num_started(self) -> int:
        """Number of runs that were started, or found finished."""
        return self._num_started

    @property
    def num_made(self) -> int:
        """Number of runs that were made and have ended."""
        return self._num_made

    def name_next(self, num_runs: int, name: str) -> str:
        """Count the next run and return its title: `run 3 of 24, lr=0.1 model=cnn`.

        Args:
            num_runs: Number of runs of the whole command; 0 if it is not known.
            name: What distinguishes this run from the others.
        """
        self._num_started += 1
        of_all = f" of {max(num_runs, self._num_started)}" if num_runs else ""
        place = f"run {self._num_started}{of_all}, "
        return printable(place * (num_runs != 1) + name)

    def skip_to(self, num: int) -> None:
        """Count on from a number of runs that are made elsewhere."""
        self._num_started = num

    def start(self) -> None:
        """Start to time the run, which no longer waits for another one."""
        self._started_s = self._clock()

    def report(self, title: str, outcome: str, *, important: bool) -> None:
        """Print a line for a run that has ended, unless another was printed just before.

        Args:
            title: The title that name_next() returned.
            outcome: The result of the run, in words.
            important: Whether to print the line in any case.
        """
        now_s = self._clock()
        self._num_made += 1
        self._spent_s += now_s - self._started_s
        if not important and now_s < self._shown_s + _LINE_EVERY_S:
            self._num_unreported += 1
            return
        num = self._num_unreported
        more = f" (and {num} more since the last line)" if num else ""
        say(self._console, f"{title}: {outcome}{more}")
        self._shown_s, self._num_unreported = now_s, 0

    def time_left(self, num_runs: int) -> str:
        """Estimate the time left from the mean of the runs so far; empty before the first one.

        Args:
            num_runs: Number of runs of the whole command.
        """
        if not self._num_made or num_runs <= self._num_started:
            return ""
        mean_s = self._spent_s / self._num_made
        running_s = self._clock() - self._started_s
        rest_s = mean_s * (num_runs - self._num_started) + max(0.0, mean_s - running_s)
        return f"; about {_duration(rest_s)} left"


def _duration(seconds: float) -> str:
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"


class ProgressLine(Line):
    """Shows the progress of one run, as a context manager."""

    def __init__(
        self,
        console: Console,
        title: str,
        time_left: Callable[[], str],
        *,
        wanted: bool,
        is_first: bool = False,
    ) -> None:
        """Show nothing yet.

        Args:
            console: The console to draw on.
            title: The title of the run.
            time_left: Returns the end of the line: how long the rest of the command takes.
            wanted: Whether to show the line, if there is a terminal.
            is_first: Whether the libraries still have to be imported.
        """
        super().__init__(
            console,
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            shown=wanted and console.is_terminal,
        )
        self._console = console
        self._title = title
        self._time_left = time_left
        what = "importing the libraries" if is_first else "starting"
        self._task = self._bar.add_task(self._fit_line(what), total=1.0)

    def show(self, message: Message) -> None:
        """Redraw the line for a message of the job."""
        text = self._fit_line(printable(message.stage))
        self._bar.update(self._task, description=text, refresh=True)

    def _fit_line(self, stage: str) -> str:
        """Make the line fit the terminal: shorten the title of the run rather than the news."""
        news = f": {stage}{self._time_left()}"
        room = self._console.width - 1 - cell_len(news)
        title = self._title
        if cell_len(title) > room:
            title = _GROUP.sub("", title)
        if cell_len(title) > room:
            title = set_cell_size(title, max(_LEAST_TITLE, room - 1)).rstrip() + "…"
        return title + news


class CheckingLine(Line):
    """Shows how many jobs have been checked, as a context manager; a log gets one line.

    It is the first thing that a sweep shows.
    """

    def __init__(
        self,
        console: Console,
        num_jobs: int,
        *,
        wanted: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Show nothing yet.

        Args:
            console: The console to draw on.
            num_jobs: Number of jobs of the sweep.
            wanted: Whether to show the line.
            clock: Returns monotonic seconds.
        """
        shown = wanted and console.is_terminal
        super().__init__(console, TextColumn("{task.description}"), shown=shown)
        self._console = console
        self._in_log = wanted and not console.is_terminal
        self._text = f"checking {num_jobs} job{'s' * (num_jobs != 1)}"
        self._clock = clock
        self._shown_s = clock()
        self._task = self._bar.add_task(self._text)

    @override
    def __enter__(self) -> Self:
        if self._in_log:
            say(self._console, self._text)
        return super().__enter__()

    def show(self, num: int) -> None:
        """Show that this number of jobs has been checked, if it is time to."""
        now_s = self._clock()
        if now_s - self._shown_s >= _PATIENCE_S:
            self._shown_s = now_s
            text = f"{self._text}: {num} done"
            self._bar.update(self._task, description=text, refresh=True)
