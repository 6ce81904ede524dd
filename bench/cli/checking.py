"""Says that the jobs of a sweep are being checked, where that takes a while."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import TextColumn

from bench.cli.terminal import Line, say

# Nothing is said before, nor more often; a log needs no word of what is soon over.
_PATIENCE_S = 1.0
_PATIENCE_OF_A_LOG_S = 10.0


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
