"""The grids on which benchmarks/search_cost.py replays searches: published and made-up ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.core.arrays import Bools, Floats

PUBLISHED = Path("results/published")
# Where on the way to the target the rungs of a made-up ladder lie.
_SHAPE = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85])
_KEYS = ["architecture", "lr", "batch_size"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Every run of a grid.

    Attributes:
        name: The printed name.
        keys: The swept keys of each configuration, with their values.
        cost: What each run spent until its target, or altogether; shape (configurations, seeds).
        reached: Whether it reached its target, likewise.
        rungs: The cost at which each run reached each lower threshold, infinite if it did not;
            shape (configurations, seeds, rungs). None if that is not known.
    """

    name: str
    keys: list[Mapping[str, Any]]
    cost: Floats
    reached: Bools
    rungs: Floats | None = None

    def __len__(self) -> int:
        """Configurations."""
        return len(self.cost)

    @property
    def num_seeds(self) -> int:
        """Seeds of each configuration."""
        return int(self.cost.shape[1])

    def ert(self) -> Floats:
        """The expected cost with restarts of each configuration, over all its seeds."""
        hits = self.reached.sum(axis=1)
        total = self.cost.sum(axis=1)
        ert: Floats = np.divide(total, hits, out=np.full(len(self), np.inf), where=hits > 0)
        return ert

    def shuffled(self, rng: np.random.Generator) -> Grid:
        """The same grid with its seeds in another order."""
        order = rng.permutation(self.num_seeds)
        rungs = None if self.rungs is None else self.rungs[:, order]
        return Grid(
            name=self.name,
            keys=self.keys,
            cost=self.cost[:, order],
            reached=self.reached[:, order],
            rungs=rungs,
        )


def digits_90(folder: Path = PUBLISHED) -> Grid:
    """The runs behind README's figure batch_size_time; its table has times, but no ladder."""
    runs = pd.read_csv(folder / "batch_size_time.csv")
    runs = runs[runs["kind"] == "run"]
    groups = [(key, group) for key, group in runs.groupby(_KEYS)]
    return Grid(
        name="digits, 90 runs",
        keys=[dict(zip(_KEYS, key, strict=True)) for key, _ in groups],
        cost=np.array([group["value"] for _, group in groups]),
        reached=np.array([group["outcome"] == "reached" for _, group in groups]),
    )


def published(path: Path, cost: str = "time_s") -> Grid:
    """A grid of tools/published_grid.py.

    Args:
        path: Its table.
        cost: `time_s` or `energy_j`. The ladder is in seconds; joules are spread over the time of
            their run.

    Raises:
        ValueError: A configuration lacks a seed, or a cost is not known.
    """
    runs = pd.read_csv(path)
    groups = [group.sort_values("seed") for _, group in runs.groupby("configuration")]
    if len({tuple(group["seed"]) for group in groups}) != 1 or runs[cost].isna().any():
        raise ValueError(f"{path}: each configuration needs the same seeds, all with {cost}")
    names = [name for name in map(str, runs.columns) if name.startswith("rung_")]
    per_second = runs[cost] / runs["time_s"]
    rungs = runs[names].mul(per_second, axis="index").fillna(np.inf)
    return Grid(
        name=f"{path.stem}, {len(runs)} runs",
        keys=[_keys(str(group["configuration"].iloc[0])) for group in groups],
        cost=np.array([group[cost] for group in groups], dtype=np.float64),
        reached=np.array([group["reached"] for group in groups], dtype=np.bool_),
        rungs=np.array([rungs.loc[group.index].to_numpy() for group in groups]),
    )


def _keys(configuration: str) -> dict[str, Any]:
    """Read `model=cnn lr=0.01`, with numbers as numbers."""
    pairs = (pair.partition("=") for pair in configuration.split(" "))
    return {key: _value(text) for key, _, text in pairs}


def _value(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def made_up(seed: int = 0) -> Iterator[Grid]:
    """Grids on which the rule was tuned: log-normal costs, seeds that vary, and misses.

    A configuration's mean cost has a spread of `spread` (of the logarithm), its seeds vary by 25%,
    and in half of the configurations one run in five misses. The budget of a run is 20 times the
    cheapest.
    """
    rng = np.random.default_rng(seed)
    for num, spread, misses in ((30, 0.5, 0.0), (30, 0.7, 0.2), (100, 0.5, 0.0), (100, 1.0, 0.2)):
        mean = np.exp(spread * rng.normal(size=(num, 1)))
        cost = mean * np.exp(0.25 * rng.normal(size=(num, 3)))
        budget = 20 * mean.min()
        # Learning curves have one shape, with noise; what misses stays below the target.
        shape = cost[..., None] * _SHAPE * np.exp(0.2 * rng.normal(size=(num, 3, len(_SHAPE))))
        rungs = np.maximum.accumulate(np.minimum(shape, cost[..., None]), axis=-1)
        missing = rng.random((num, 3)) < np.where(rng.random((num, 1)) < 0.5, misses, 0.0)
        reached = ~missing & (cost <= budget)
        yield Grid(
            name=f"made up: {num} configurations, spread {spread:g}, misses {misses:g}",
            keys=[{"place": place} for place in range(num)],
            cost=np.where(reached, cost, budget),
            reached=reached,
            rungs=np.where(rungs <= budget, rungs, np.inf),
        )


def describe(grid: Grid) -> str:
    """How much the costs of a grid differ."""
    finite = np.sort(grid.ert()[np.isfinite(grid.ert())])
    return (
        f"{len(grid)} configurations with {grid.num_seeds} seeds; {grid.reached.mean():.0%} of the "
        f"runs reach the target; the mean run costs {grid.cost.mean() / finite[0]:.1f} times the "
        f"best ERT, the second-best ERT is {finite[1] / finite[0]:.2f} times the best"
    )
