"""A sweeper that finds the cheapest configuration of a grid without making all of its runs."""

from __future__ import annotations

from functools import partial
from typing import Any

from bench.config.sweeper import RaceConfig
from hydra_plugins.checked_sweeper import CheckedSweeper, Searching


class RaceSweeper(CheckedSweeper):
    """Makes the runs of a race between the configurations of a grid."""

    def __init__(self, max_batch_size: Any = None, params: Any = None, **keys: Any) -> None:
        """Keep the keys of conf/hydra/sweeper/race.yaml; they are checked later."""
        super().__init__(params=params)
        self._keys = keys

    def _searching(self, command: str) -> Searching | None:
        """The race.

        Raises:
            ValueError: A key is wrong, or the command trains to no target.
        """
        config = RaceConfig.from_dict(self._keys, "hydra.sweeper.")
        if command != "train":
            raise ValueError(
                f"hydra/sweeper=race: {command} has no target to race to; use bench.train"
            )
        if self._repeats_auto:
            raise ValueError("repeat=auto: a race repeats runs itself; leave it out")
        from bench.runs.searches import prepare_race  # slow to import, and only needed here

        return partial(prepare_race, config)
