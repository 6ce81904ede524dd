"""What a batch system executes for each job of a sweep: Hydra's part of it, then the command's.

The state that all jobs share is written once, into the folder of the sweep, and not with each job:
a sweep may have thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from bench.core.files import replace_file
from bench.launch.stopping import signals_interrupt


@dataclass(frozen=True, kw_only=True)
class SharedState:
    """What Hydra needs to compose and to make any job of a sweep."""

    hydra_context: HydraContext
    config: DictConfig
    task_function: TaskFunction
    singletons: Any

    def write(self, path: Path) -> None:
        """Write it to a file, in place of an earlier one.

        Raises:
            OSError: The file cannot be written.
        """
        import cloudpickle  # comes with submitit, which not every command has

        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, cloudpickle.dumps(self))


@dataclass(frozen=True, kw_only=True)
class LaunchedJob:
    """Makes a job of a sweep, on the node that the batch system has chosen.

    Attributes:
        state: The file that SharedState.write() wrote.
    """

    state: Path

    def __call__(self, overrides: Sequence[str], num: int) -> None:
        """Compose the configuration of the job, and call the command for it.

        Args:
            overrides: The overrides of the job.
            num: The number of the job in its sweep.
        """
        from submitit import JobEnvironment

        with signals_interrupt():  # submitit ignores SIGTERM until SLURM kills the job
            self._make(list(overrides), num, JobEnvironment().job_id)

    def _make(self, overrides: list[str], num: int, job_id: str) -> None:
        import cloudpickle

        shared: SharedState = cloudpickle.loads(self.state.read_bytes())
        Singleton.set_state(shared.singletons)
        setup_globals()
        config = shared.hydra_context.config_loader.load_sweep_config(shared.config, overrides)
        with open_dict(config.hydra.job):
            config.hydra.job.id, config.hydra.job.num = job_id, num
        returned = run_job(
            hydra_context=shared.hydra_context,
            task_function=shared.task_function,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        _ = returned.return_value  # raises the exception of the command, if there was one

    def checkpoint(self, *arguments: object) -> None:
        """Return nothing, so that submitit does not queue the job again at its time limit."""
