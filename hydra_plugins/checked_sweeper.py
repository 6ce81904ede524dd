"""Hydra's own sweeper, that also refuses values out of range before the first job is run.

Hydra takes sweepers from this namespace package only, and finds them here by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

from bench.cli.plans import AGENDA, PLANS


class CheckedSweeper(BasicSweeper):
    """Composes and checks every job of a sweep up front: nothing is measured in vain."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose each job's configuration and check its values.

        Raises:
            ValueError: A value of one of the jobs is out of range, or the command has no jobs.
        """
        assert self.hydra_context is not None
        assert self.config is not None
        command = self.config.hydra.job.config_name
        if command not in PLANS:
            raise ValueError(f"-m: {command} has nothing to sweep; leave it out")
        plan = PLANS[command]
        AGENDA.num_runs = 0
        for overrides in batch:
            planned = plan(
                self.hydra_context.config_loader.load_sweep_config(
                    master_config=self.config, sweep_overrides=list(overrides)
                )
            )
            AGENDA.num_runs += len(planned)
