"""How the configurations among some trainings differ, and how the runs of each ended."""

from __future__ import annotations

from pandas import DataFrame, Series

from analysis.load.values import numbers, short_name
from analysis.stats.outcomes import Outcomes, outcomes


def variants(runs: DataFrame) -> Series:
    """Name the architecture, with whatever else differs at one architecture, batch size and rate.

    Runs with different optimizers, for example, are not repeats; a cell must not mix them.

    Args:
        runs: Of `training_runs`.
    """
    # The keys that the figures of a sweep have axes, colours or panels for.
    cell = [runs["architecture"], numbers(runs, "config.lr"), numbers(runs, "config.batch_size")]
    cells = runs["configuration"].groupby(cell, dropna=False)
    if cells.nunique().max() < 2:
        return runs["architecture"]
    # What follows ` [` is the label of the joules, which the architecture has already.
    names = runs["configuration"].map(lambda name: name.split(" [")[0].split())
    shared = set.intersection(*map(set, names))
    rest = names.map(
        lambda parts: [part for part in parts if _is_other(part) and part not in shared]
    ).map(lambda parts: "".join(f" {part}" for part in parts))
    return (runs["architecture"] + rest).map(short_name)


def _is_other(part: str) -> bool:
    return not part.startswith(("model=", "model.", "batch_size=", "lr="))


def outcomes_by_configuration(runs: DataFrame) -> dict[str, Outcomes]:
    """Collect how the runs of each configuration ended, and after what time.

    Args:
        runs: Of `training_runs`.
    """
    ended = outcomes(runs)
    return {
        str(name): Outcomes(
            cost=ended.cost[places], hit=ended.hit[places], failed=ended.failed[places]
        )
        for name, places in runs.groupby("configuration").indices.items()
    }
