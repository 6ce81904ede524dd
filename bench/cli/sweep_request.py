"""Stores what a sweep was asked for and what it is going to launch, in the folder of the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, read_write

from bench.cli.multirun import MULTIRUN
from bench.core.files import expand_path, unwritable_message
from bench.core.process import Process
from bench.core.sweep_folder import PlannedJob, SweepFolder, SweepPlan


def keep_request(request: DictConfig, first: DictConfig) -> None:
    """Store the request of a sweep in the results folder of a job, and name its folder.

    Args:
        request: The configuration that Hydra composed for the sweep.
        first: That of the job.

    Raises:
        ValueError: The folder cannot be written.
    """
    if not first.hydra.sweep.dir:
        raise ValueError("hydra.sweep.dir=: must name a folder; leave it out for the usual one")
    folder = Path(first.hydra.sweep.dir)
    if (folder / "jobs").exists():  # their notes would be taken for those of the new jobs
        raise ValueError(
            f"hydra.sweep.dir={folder}: has the jobs of an earlier sweep; name a new folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(request, folder / "multirun.yaml")
    except OSError as error:
        raise ValueError(unwritable_message(expand_path(first.results), error)) from error
    # The launcher makes the folder that stands here; it must be the one with the request.
    with read_write(request.hydra):  # Hydra 1.4 protects it
        request.hydra.sweep.dir = str(folder)
    MULTIRUN.folder = folder


def keep_plan(command: str, jobs: Sequence[PlannedJob]) -> None:
    """Store which jobs are going to be launched, beside the request.

    Raises:
        ValueError: The folder cannot be written.
    """
    assert MULTIRUN.folder is not None
    MULTIRUN.plan = SweepPlan(
        command=command,
        process=Process.current(),
        swept=MULTIRUN.swept,
        num_runs=MULTIRUN.num_runs,
        jobs=jobs,
    )
    SweepFolder(MULTIRUN.folder).write_plan(MULTIRUN.plan)
