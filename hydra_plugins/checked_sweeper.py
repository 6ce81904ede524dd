"""Hydra's own sweeper, that also plans all jobs before the first one is run.

Hydra takes sweepers from this namespace package only, and finds them here by itself.
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
from bench.cli.overrides import AGENDA, Checked, key_of, plain, with_paths
from bench.cli.terminal import CheckingLine
from bench.core.files import expanded, unwritable
from bench.launch.needs import Need, require
from bench.serving.plan import check_serving, serving_values
from bench.training.plan import check_training


class Planning(NamedTuple):  # no dataclass: Hydra imports a plugin without naming its module
    """How the jobs of one command are planned.

    values gives the resolved values of a configuration; check refuses them or tells what the job
    comes to, from them and from what was given on the command line.
    """

    values: Callable[[DictConfig], dict[str, Any]]
    check: Callable[[Mapping[str, Any], Sequence[str]], Checked]


# By the name of the command's primary configuration file.
PLANNINGS: dict[str, Planning] = {
    "train": Planning(values=plain, check=check_training),
    "serve": Planning(values=serving_values, check=check_serving),
}


class CheckedSweeper(BasicSweeper):
    """Checks every job of a sweep up front: nothing is measured in vain."""

    def sweep(self, arguments: list[str]) -> Any:
        """Plan the jobs, keep what was asked for, and run them.

        Raises:
            ValueError: A value of one of the jobs is out of range, something that it needs is not
                here, the results cannot be written, or the command has no jobs.
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
        for first in self._plan(PLANNINGS[command], jobs):
            self._keep_request(first)
        returns = []
        num_launched = 0
        for batch in self.overrides:
            results = self.launcher.launch(batch, initial_job_idx=num_launched)
            num_launched += len(batch)
            for result in results:
                _ = result.return_value  # raises what the job raised
            returns.append(results)
        return returns

    def _compose(self, overrides: list[str]) -> DictConfig:
        """A job's configuration by Hydra itself."""
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
        """Check all jobs, and tell the sweep what they come to.

        Returns:
            Of the jobs of each results folder, the first.

        Raises:
            ValueError: As sweep().
        """
        quick = JobValues(self._compose, self._is_group)
        needs: dict[Need, None] = {}
        places: dict[str, Sequence[str]] = {}
        num_runs = 0
        with CheckingLine(Console(stderr=True), len(jobs)) as line:
            for index, overrides in enumerate(jobs):
                values = quick.quick(overrides)
                if values is None:
                    values = planning.values(self._compose(list(overrides)))
                values = with_paths(values)
                checked = planning.check(values, overrides)
                num_runs += checked.num_runs
                needs.update(dict.fromkeys(checked.needs))
                places.setdefault(values["results"], overrides)
                line.show(index + 1)
        require(needs)
        AGENDA.num_runs = num_runs
        AGENDA.swept = _swept(jobs) + ["run"] * (num_runs > len(jobs))
        return list(places.values())

    def _keep_request(self, first: Sequence[str]) -> None:
        """Write down what was asked for, in the results folder of a job.

        Raises:
            ValueError: It cannot be written there.
        """
        assert self.config is not None
        config = self._compose(list(first))
        folder = Path(config.hydra.sweep.dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            OmegaConf.save(self.config, folder / "multirun.yaml")
        except OSError as error:
            raise ValueError(unwritable(expanded(config.results), error)) from error
        self.config.hydra.sweep.dir = str(folder)  # the launcher makes it, too


def _swept(jobs: Sequence[Sequence[str]]) -> list[str]:
    """The keys that differ between the jobs, as the records have them."""
    return [key_of(given[0]) for given in zip(*jobs, strict=True) if len(set(given)) > 1]
