"""Extends Hydra's own sweeper: it checks and plans all jobs before it runs the first one.

Hydra finds sweepers only in this namespace package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from bench.cli.job_values import JobValues
from bench.cli.overrides import AGENDA, Checked, key_of, plain_values, with_paths
from bench.cli.terminal import CheckingLine
from bench.core.files import expand_path, unwritable_message
from bench.launch.needs import Need, require


class Planning(NamedTuple):  # no dataclass: Hydra imports a plugin without naming its module
    """How to plan the jobs of one command.

    Attributes:
        values: Resolves a composed configuration.
        check: Refuses wrong values, or returns the number of runs of the job and their needs. It
            gets the values and the overrides.
    """

    values: Callable[[DictConfig], dict[str, Any]]
    check: Callable[[Mapping[str, Any], Sequence[str]], Checked]


def _training() -> Planning:
    from bench.training.plan import check_training

    return Planning(values=plain_values, check=check_training)


def _serving() -> Planning:
    from bench.serving.plan import check_serving, serving_values

    return Planning(values=serving_values, check=check_serving)


# By the name of the command's primary file. Functions, because Hydra imports this module for every
# command, and only a sweep needs the flows and what they import.
PLANNINGS: dict[str, Callable[[], Planning]] = {"train": _training, "serve": _serving}


class CheckedSweeper(BasicSweeper):
    """Checks every job of a sweep before the first one runs.

    Otherwise a typing error in the last job would show only after hours of measuring.
    """

    def sweep(self, arguments: list[str]) -> Any:
        """Plan the jobs, store the request, and run the jobs.

        Raises:
            ValueError: A value of a job is wrong, something that it needs is missing, the results
                cannot be written, or the command cannot sweep.
        """
        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        command = self.config.hydra.job.config_name
        if command not in PLANNINGS:
            raise ValueError(f"-m: {command} has nothing to sweep; leave it out")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        self.overrides = self.split_arguments(overrides, self.max_batch_size)
        jobs = list(chain.from_iterable(self.overrides))
        for first in self._plan(PLANNINGS[command](), jobs):
            self._keep_request(first)
        returns = []
        num_launched = 0
        for batch in self.overrides:
            results = self.launcher.launch(batch, initial_job_idx=num_launched)
            num_launched += len(batch)
            for result in results:
                _ = result.return_value  # raises the exception of the job, if there was one
            returns.append(results)
        return returns

    def _compose(self, overrides: list[str]) -> DictConfig:
        """Let Hydra compose the configuration of a job."""
        assert self.hydra_context is not None
        assert self.config is not None
        return self.hydra_context.config_loader.load_sweep_config(
            master_config=self.config, sweep_overrides=overrides
        )

    def _is_group(self, name: str) -> bool:
        assert self.hydra_context is not None
        assert self.config is not None
        loader, hydra = self.hydra_context.config_loader, self.config.hydra
        options = loader.get_group_options(
            name,
            results_filter=None,
            config_name=hydra.job.config_name,
            overrides=list(hydra.overrides.hydra),
        )
        return bool(options)

    def _plan(self, planning: Planning, jobs: Sequence[Sequence[str]]) -> list[Sequence[str]]:
        """Check all jobs, and set AGENDA for the sweep.

        Returns:
            The overrides of the first job of each results folder.

        Raises:
            ValueError: A value of a job is wrong, or something that it needs is missing.
        """
        job_values = JobValues(self._compose, self._is_group)
        needs: dict[Need, None] = {}
        first_jobs: dict[str, Sequence[str]] = {}
        num_runs = 0
        with CheckingLine(Console(stderr=True), len(jobs)) as line:
            for index, overrides in enumerate(jobs):
                values = job_values.find(overrides)
                if values is None:  # composing takes a sixth of a second, so it is the last resort
                    values = planning.values(self._compose(list(overrides)))
                values = with_paths(values)
                checked = planning.check(values, overrides)
                num_runs += checked.num_runs
                needs.update(dict.fromkeys(checked.needs))
                first_jobs.setdefault(values["results"], overrides)
                line.show(index + 1)
        require(needs)  # once for all jobs, because each check may import large libraries
        AGENDA.num_runs = num_runs
        AGENDA.swept = _swept(jobs) + ["run"] * (num_runs > len(jobs))
        return list(first_jobs.values())

    def _keep_request(self, first: Sequence[str]) -> None:
        """Store the request of the sweep in the results folder of a job.

        Raises:
            ValueError: The folder cannot be written.
        """
        assert self.config is not None
        config = self._compose(list(first))
        if not config.hydra.sweep.dir:
            raise ValueError("hydra.sweep.dir=: must name a folder; leave it out for the usual one")
        folder = Path(config.hydra.sweep.dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, folder / "multirun.yaml")
        except OSError as error:
            raise ValueError(unwritable_message(expand_path(config.results), error)) from error
        # The launcher makes the folder that stands here; it must be the one with the request.
        self.config.hydra.sweep.dir = str(folder)


def _swept(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The keys that differ between the jobs, by their names in the records."""
    return [key_of(values[0]) for values in zip(*jobs, strict=True) if len(set(values)) > 1]
