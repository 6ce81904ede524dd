"""How fast a sweep is planned: `python benchmarks/planning.py [--jobs N] [--composed N]`.

Measures how many jobs per second are planned, which means that their values are known and checked.
There are two ways: Hydra composes each job, which only unusual overrides need, or a sweep derives
the values itself. Sweeps are over one key, several keys, and groups. It measures CPU time, so that
neighbours matter little; run it on an idle machine all the same.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from bench.cli.app import register
from bench.cli.job_values import JobValues
from bench.cli.overrides import plain_values, with_paths
from bench.core.files import config_dir
from bench.training.plan import check_training

SWEEPS: dict[str, Callable[[int], dict[str, Sequence[object]]]] = {
    "seed": lambda num: {"seed": range(num)},
    "lr (decimals)": lambda num: {"lr": [1 / (2 + index) for index in range(num)]},
    "batch_size x lr x seed": lambda num: {
        "batch_size": (32, 64, 128, 256),
        "lr": (0.01, 0.03, 0.1),
        "seed": range(num // 12),
    },
    "model x optimizer x seed": lambda num: {
        "model": ("mlp", "cnn"),
        "optimizer": ("sgd", "adamw"),
        "seed": range(num // 4),
    },
}


def jobs_of(swept: dict[str, Sequence[object]]) -> list[list[str]]:
    """Overrides of each job, in the form in which Hydra's sweeper gives them."""
    columns = [[f"{key}={value}" for value in values] for key, values in swept.items()]
    return [list(job) for job in itertools.product(*columns)]


def compose(overrides: list[str]) -> DictConfig:
    """Compose a job's configuration with Hydra."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return hydra.config_loader.load_configuration("train", overrides, run_mode=RunMode.RUN)


def is_group(name: str) -> bool:
    """Whether a name is a group of the configuration."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return bool(hydra.config_loader.get_group_options(name, results_filter=None))


def jobs_per_s(
    jobs: Sequence[list[str]], values_of: Callable[[list[str]], dict[str, Any]]
) -> float:
    """Jobs planned per second of CPU time."""
    began_s = time.process_time()
    for job in jobs:
        check_training(values_of(job), job)
    return len(jobs) / (time.process_time() - began_s)


def planned(quick: JobValues, job: list[str]) -> dict[str, Any]:
    """Values of a job, as a sweep derives them."""
    values = quick.find(job)
    return plain_values(compose(job)) if values is None else with_paths(values)


def main() -> None:
    """Print a row for each sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--composed", type=int, default=50, help="jobs of the slow way")
    options = parser.parse_args()
    register()
    table = Table("sweep", "jobs", "composed, jobs/s", "planned, jobs/s", "ratio")
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        for name, swept in SWEEPS.items():
            jobs = jobs_of(swept(options.jobs))
            step = max(1, len(jobs) // options.composed)
            slow = jobs_per_s(jobs[::step], lambda job: plain_values(compose(job)))
            fast = jobs_per_s(jobs, partial(planned, JobValues(compose, is_group)))
            row = (f"{len(jobs)}", f"{slow:.1f}", f"{fast:.0f}", f"{fast / slow:.0f}")
            table.add_row(name, *row)
    Console().print(table)


if __name__ == "__main__":
    main()
