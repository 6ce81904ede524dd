"""One line on the terminal while a run is made; nothing where there is no terminal.

Redrawn only when the job says something: a bar that refreshes itself would use the CPU that is
being measured.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from bench.launch.job import Job
from bench.launch.job import Progress as Message


class ProgressLine:
    """Shows how far one run has come, as a context manager."""

    def __init__(self, console: Console, job: Job) -> None:
        wanted = bool(job.config["progress"]) and console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[what]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not wanted,
        )
        self._task = self._bar.add_task(
            job.title,
            total=1.0,
            what="starting (the first run imports the libraries: some seconds)",
        )

    def __enter__(self) -> Self:
        self._bar.start()
        self._bar.refresh()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, message: Message) -> None:
        """Redraw for one message of the job."""
        self._bar.update(self._task, completed=message.done_frac, what=message.stage, refresh=True)
