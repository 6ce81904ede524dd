"""Where commands print: a console as wide as it may be, and how far a command is.

A line is redrawn where there is a terminal; each run leaves a line.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import Progress, ProgressColumn, TextColumn
from rich.table import Column
from rich.text import Text

from bench.core.printable import printable
from bench.launch.job import Progress as Message

# What a CI service takes for an order to itself, such as ::error:: and ##[error]. Some count at the
# beginning of a line only; but lines are folded.
_ORDER = re.compile(r":(?=:[A-Za-z-]+(?:::| ))|#(?=#\w*\[)")


def wide_console() -> Console:
    """Of standard output; a file or a pipe takes lines of any length."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()  # None where it is closed
    return Console(width=None if is_terminal else 1000)


def shown(text: object) -> str:
    """Text from elsewhere in one line that neither a terminal nor a CI service takes for orders."""
    return _ORDER.sub(lambda match: f"\\x{ord(match[0]):02x}", printable(text))


# What an ASCII terminal has for the few other characters that the tables use.
_ASCII = str.maketrans({"µ": "u", "±": "+-"})


def in_ascii(text: str) -> str:
    """The text with `u` and `+-` for the signs that an ASCII console cannot show."""
    return text.translate(_ASCII)


def plain_text(text: str) -> Text:
    """Text from elsewhere for the terminal: brackets are no markup, control characters no orders.

    Line breaks stay.
    """
    return Text("\n".join(map(shown, text.split("\n"))))


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print lines that may hold names, messages and paths from elsewhere; long ones are not cut."""
    shown_text = in_ascii(text) if console.options.ascii_only else text
    console.print(plain_text(shown_text), style=style, soft_wrap=True, highlight=False)


class Line:
    """One line on the terminal, as a context manager; nothing where it is not shown.

    Redrawn only when there is something to say: a line that refreshes itself would use the CPU that
    is being measured.
    """

    def __init__(self, console: Console, *columns: ProgressColumn, shown: bool) -> None:
        """Nothing is shown yet.

        Args:
            console: Where.
            columns: What the line is made of.
            shown: Whether it is wanted, and the console a terminal.
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


# Runs may end faster than a person reads or a log should grow.
_LINE_EVERY_S = 2.0
_LEAST_TITLE = 12  # characters: `run 15 of 16`
# Of a dotted key, what is before its last part.
_GROUP = re.compile(r"\b[\w.]+\.(?=\w+=)")
_MINUTE_S, _HOUR_S = 60.0, 3600.0
# Nothing is said before, nor more often; a log needs no word of what is soon over.
_PATIENCE_S = 1.0
_LOG_PATIENCE_S = 10.0


class RunCounter:
    """Numbers the runs of a command, tells of each that has ended, and how long the rest takes."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing has been run.

        Args:
            console: Where lines are printed.
            clock: Monotonic seconds.
        """
        self._console = console
        self._clock = clock
        self._num_started = 0
        self._started_s = clock()  # of the present run
        self._spent_s: list[float] = []  # by each run that was made
        self._shown_s = -_LINE_EVERY_S
        self._num_unreported = 0

    @property
    def num_started(self) -> int:
        """Runs that were begun or found finished."""
        return self._num_started

    @property
    def num_made(self) -> int:
        """Runs that were made and have ended."""
        return len(self._spent_s)

    def name_next(self, num_runs: int, name: str) -> str:
        """Count the next run; what it is called: `run 3 of 24, lr=0.1 model=cnn`.

        Args:
            num_runs: Of the whole command.
            name: What tells it from the others.
        """
        self._num_started += 1
        place = f"run {self._num_started} of {max(num_runs, self._num_started)}, "
        return printable(place * (num_runs > 1) + name)

    def start(self) -> None:
        """The run is made from here on: what it waited for is over."""
        self._started_s = self._clock()

    def report(self, title: str, outcome: str, *, important: bool) -> None:
        """Tell of a run that has ended, unless another line was printed just before.

        Args:
            title: As next() gave it.
            outcome: What it came to.
            important: Whether it is told in any case.
        """
        now_s = self._clock()
        self._spent_s.append(now_s - self._started_s)
        if not important and now_s < self._shown_s + _LINE_EVERY_S:
            self._num_unreported += 1
            return
        more = (
            f" (and {self._num_unreported} more since the last line)"
            if self._num_unreported
            else ""
        )
        say(self._console, f"{title}: {outcome}{more}")
        self._shown_s, self._num_unreported = now_s, 0

    def time_left(self, num_runs: int) -> str:
        """About how long the rest takes, by the runs before; empty where nothing is known.

        Args:
            num_runs: Of the whole command.
        """
        if not self._spent_s or num_runs <= self._num_started:
            return ""
        mean_s = sum(self._spent_s) / len(self._spent_s)
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
        self._shown_s = clock()
        self._has_shown = False
        self._task = self._bar.add_task("", visible=False)

    def show(self, num: int) -> None:
        """So many are done."""
        now_s = self._clock()
        patience_s = _PATIENCE_S if self._console.is_terminal else _LOG_PATIENCE_S
        if now_s - self._shown_s < patience_s:
            return
        self._shown_s = now_s
        if self._console.is_terminal:
            text = f"checking {self._num_jobs} jobs: {num} done"
            self._bar.update(self._task, description=text, visible=True, refresh=True)
        elif not self._has_shown:
            say(self._console, f"checking {self._num_jobs} jobs")
        self._has_shown = True
