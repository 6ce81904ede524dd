"""One line on the terminal while a run is made; nothing where there is no terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, TextColumn

from bench.cli.terminal import Line
from bench.launch.job import Job
from bench.launch.job import Progress as Message


class ProgressLine(Line):
    """Shows how far one run has come, as a context manager."""

    def __init__(self, console: Console, job: Job) -> None:
        super().__init__(
            console,
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[what]}"),
            shown=bool(job.config["progress"]) and console.is_terminal,
        )
        self._task = self._bar.add_task(
            job.title,
            total=1.0,
            what="starting (the first run imports the libraries: some seconds)",
        )

    def show(self, message: Message) -> None:
        """Redraw for one message of the job."""
        self._bar.update(self._task, completed=message.done_frac, what=message.stage, refresh=True)
