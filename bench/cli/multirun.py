"""What a command knows of its sweep before the jobs run."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from bench.cli.stop_jobs import forget_stop
from bench.core.environment import deciding_variables
from bench.core.sweep_folder import JobNote, SweepPlan

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


class SearchReport(Protocol):
    """Reports on a search, at any moment."""

    def write(self, folder: Path) -> Path:
        """Write it to files in the folder of the sweep, and return the path of one.

        Raises:
            OSError: They cannot be written.
        """

    def tables(self, console: Console) -> Sequence[RenderableType]:
        """Make what is printed."""


@dataclass(slots=True)
class Multirun:
    """The sweep of this command, as its sweeper planned it.

    Attributes:
        folder: Hydra's folder of the sweep, results/sweeps/<id>; None without a sweep.
        num_runs: Number of runs of all jobs; 0 if a search decides as it goes.
        num_found: Number of those that resume= found finished before the launch.
        swept: The keys that differ between the jobs.
        plan: The jobs to launch; None if the sweeper does not plan them in advance.
        found: Jobs that are not launched, because resume= found their runs finished.
        order: The overrides of all jobs, in the order in which tables show them.
        resume: The value of resume= that continues the sweep.
        error: Why the launcher failed; None if it did not.
        search: Reports on a search that has chosen the jobs; None in a sweep over all of them.
        host: The name of the command's host; empty in its own process.
        variables: Those of the command's environment that decide how fast a run is.
    """

    folder: Path | None = None
    num_runs: int = 1
    num_found: int = 0
    swept: Sequence[str] = ()
    plan: SweepPlan | None = None
    found: Sequence[JobNote] = ()
    order: Sequence[Sequence[str]] = ()
    resume: str = "true"
    error: str | None = None
    search: SearchReport | None = None
    host: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget the sweep of an earlier command in this process."""
        fresh = Multirun()
        for each in fields(self):
            setattr(self, each.name, getattr(fresh, each.name))

    def for_workers(self) -> Multirun:
        """What the processes that make the jobs need to know."""
        return replace(
            self,
            plan=None,
            found=(),
            order=(),
            search=None,
            host=platform.node(),
            variables=deciding_variables(),
        )


# Global, because Hydra creates the sweeper itself: nothing can be passed to it, or returned by it.
MULTIRUN = Multirun()


class NoteFolder(Callback):
    """Notes the folder of a sweep, which Hydra tells only its sweeper and its callbacks."""

    def on_multirun_start(self, config: DictConfig, **_: object) -> None:
        """Take it from the configuration of the sweep."""
        if config.hydra.sweep.dir:
            MULTIRUN.folder = Path(config.hydra.sweep.dir)
            forget_stop(MULTIRUN.folder)
