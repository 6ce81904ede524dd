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
        self._target = job.config["target"]
        self._max_epochs = float(job.config["budget"]["max_epochs"])
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
            f"batch_size={job.config['batch_size']} seed={job.config['seed']}",
            total=self._max_epochs,
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
        what = message.stage
        if message.row is not None:
            metric = self._target["metric"]
            value = getattr(message.row, metric)
            what = f"{metric} {value:.3f} of {self._target['value']:g}, {message.row.time_s:.1f} s"
        epochs = message.row.epochs if message.row is not None else None
        self._bar.update(self._task, completed=epochs, what=what, refresh=True)
