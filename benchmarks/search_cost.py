"""What finding the cheapest configuration of a grid costs, and how good what is found is.

`python -m benchmarks.search_cost [--grids TABLE...] [--orders N] [--cost time_s|energy_j]`

    Each search is replayed on a grid whose runs are all known, in many random orders of its
    configurations and seeds. A run that a search stops at a limit costs the limit. *Cost* is what
    the search spent / what all runs of the grid cost, every configuration with all seeds that the
    grid has. *Chosen/best* is the ERT of the configuration that it chose / the lowest ERT of the
    grid, both over all seeds. A search may use the seeds of the grid and no others, so finalists
    end with as many as the grid has, and the race's test cannot separate them (three are too few).

    - *race*: bench.search.race, beta 1.5, in random order; also with Optuna's suggestions.
    - *Zeus's rule*: a run is stopped at twice the lowest cost so far; what was stopped is pruned;
      a second round with another seed; then the lowest mean cost. Zeus searches batch sizes only,
      from a default one downwards and upwards until one is pruned. A grid of several keys has no
      such order, so here every configuration is tried.
    - *random search*: whole runs of random configurations, as many as cost what the race cost.
    - *one seed of each*: whole runs of all configurations, with one seed.
    - *successive halving*: one seed of each; of those that have spent the same, the third that is
      highest on the ladder goes on. It needs the ladder of each run.
    - *median pruner*: Optuna's, told the highest rung so far at each hundredth of the largest cost;
      one seed of each. It needs the ladder, too, and it is replayed in fewer orders.

    It prints the tables of docs/search.md. Everything is seeded. It takes a few minutes of one core
    for a grid of 360 runs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.core.arrays import Floats
from bench.search.grid_price import grid_price
from bench.search.race import Race
from bench.search.rules import Rules
from bench.search.suggest import OptunaOrder, RandomOrder
from bench.search.trial import Order, Result, Trial
from benchmarks.markdown import print_table
from benchmarks.search_grids import PUBLISHED, Grid, describe, digits_90, made_up, published

SEED = 0
ETA = 3  # of successive halving: the share that goes on is 1 / ETA
NUM_STEPS = 100


class Found(NamedTuple):
    """What a search spent, and which configuration it chose; None if it found none."""

    spent: float
    chosen: int | None
    priced: float | None = None  # its estimate of the price of the whole grid


Search = Callable[[Grid, int], Found | None]


def run(grid: Grid, trial: Trial) -> Result:
    """What a trial comes to."""
    cost = float(grid.cost[trial.candidate, trial.seed])
    if trial.limit is not None and cost > trial.limit:
        return Result(spent=trial.limit, reached=False)
    return Result(spent=cost, reached=bool(grid.reached[trial.candidate, trial.seed]))


def race(grid: Grid, seed: int, *, beta: float = 1.5, order: Order | None = None) -> Found:
    """The race, to its end."""
    rules = Rules(beta=beta, max_seeds=grid.num_seeds)
    search = Race(len(grid), order or RandomOrder(len(grid), seed), rules)
    while (trial := search.ask()) is not None:
        search.tell(trial, run(grid, trial))
    leader = search.leader()
    price = grid_price(search.candidates.values(), len(grid), grid.num_seeds)
    return Found(search.spent, None if leader is None else leader.place, price.value)


def race_by_optuna(grid: Grid, seed: int) -> Found:
    """The race with Optuna's suggestions."""
    return race(grid, seed, order=OptunaOrder(grid.keys, seed))


def zeus(grid: Grid, seed: int, *, beta: float = 2.0) -> Found:
    """Zeus's early stopping and pruning.

    Source: You, Chung and Chowdhury (NSDI 2023), Zeus; zeus.optimizer.batch_size, whose beta_knob
        is 2 and num_pruning_rounds 2 by default.
    """
    rng = np.random.default_rng(seed)
    left, spent, lowest = list(range(len(grid))), 0.0, math.inf
    for which in range(min(2, grid.num_seeds)):
        good = []
        for place in rng.permutation(left).tolist():
            cost = float(grid.cost[place, which])
            spent += min(cost, beta * lowest)
            if grid.reached[place, which] and cost <= beta * lowest:
                lowest = min(lowest, cost)
                good.append(place)
        if good:  # where none is, another seed would not have pruned all
            left = good
    if lowest == math.inf:
        return Found(spent, None)
    means = grid.cost[left, : min(2, grid.num_seeds)].mean(axis=1)
    return Found(spent, left[int(np.argmin(means))])


def random_search(grid: Grid, seed: int) -> Found:
    """Whole runs, until they have cost what the race costs in this order."""
    most = race(grid, seed).spent
    spent, lowest, chosen = 0.0, math.inf, None
    for place in np.random.default_rng(seed).permutation(len(grid)).tolist():
        cost = float(grid.cost[place, 0])
        if spent + cost > most:
            break
        spent += cost
        if grid.reached[place, 0] and cost < lowest:
            lowest, chosen = cost, place
    return Found(spent, chosen)


def one_seed_each(grid: Grid, seed: int) -> Found:
    """Whole runs of all configurations with one seed."""
    cost = np.where(grid.reached[:, 0], grid.cost[:, 0], np.inf)
    chosen = int(np.argmin(cost)) if np.isfinite(cost).any() else None
    return Found(float(grid.cost[:, 0].sum()), chosen)


def halving(grid: Grid, seed: int) -> Found | None:
    """Successive halving, which goes on with a run where it paused.

    Source: Jamieson and Talwalkar (2016); Li et al. (2018), Hyperband, its most aggressive bracket.
    """
    if grid.rungs is None:
        return None
    cost, rungs = grid.cost[:, 0], grid.rungs[:, 0]
    most = float(cost.max())
    num_rounds = int(math.log(len(grid), ETA))
    left = np.random.default_rng(seed).permutation(len(grid))
    spent = np.zeros(len(grid))
    for level in range(num_rounds, -1, -1):
        budget = most / ETA**level
        spent[left] = np.minimum(cost[left], budget)
        # Higher is better, and of equal height the one that got there earlier.
        reached = np.where(rungs[left] <= budget, rungs[left], np.nan)
        height = np.isfinite(reached).sum(axis=1)
        when = np.nan_to_num(np.nanmax(reached, axis=1, initial=0.0))
        best_first = np.lexsort((when, -height))
        left = left[best_first[: max(len(left) // ETA, 1)]] if level else left[best_first]
    hits = [place for place in left.tolist() if grid.reached[place, 0]]
    chosen = min(hits, key=lambda place: float(cost[place]), default=None)
    return Found(float(spent.sum()), chosen)


def median_pruner(grid: Grid, seed: int) -> Found | None:
    """Optuna's median pruner with its defaults, told the height on the ladder as it grows."""
    if grid.rungs is None:
        return None
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    step = float(grid.cost.max()) / NUM_STEPS
    spent, lowest, chosen = 0.0, math.inf, None
    for place in np.random.default_rng(seed).permutation(len(grid)).tolist():
        cost, reached = float(grid.cost[place, 0]), bool(grid.reached[place, 0])
        used = _pruned_at(study, grid.rungs[place, 0], cost, step)
        spent += cost if used is None else used
        if used is None and reached and cost < lowest:
            lowest, chosen = cost, place
    return Found(spent, chosen)


def _pruned_at(study: Any, rungs: Floats, cost: float, step: float) -> float | None:
    """The cost at which a trial is pruned; None if it ends by itself."""
    trial = study.ask()
    height = 0.0
    for num in range(1, int(cost / step) + 1):
        height = float((rungs <= num * step).sum())
        trial.report(height, num)
        if trial.should_prune():
            study.tell(trial, state=_pruned())
            return num * step
    study.tell(trial, float((rungs <= cost).sum()))
    return None


def _pruned() -> Any:
    from optuna.trial import TrialState

    return TrialState.PRUNED


SEARCHES: dict[str, Search] = {
    "race, beta 1.5": race,
    "race, beta 1.25": lambda grid, seed: race(grid, seed, beta=1.25),
    "race, beta 2": lambda grid, seed: race(grid, seed, beta=2.0),
    "race, Optuna's suggestions": race_by_optuna,
    "Zeus's rule, beta 2": zeus,
    "random search": random_search,
    "one seed of each": one_seed_each,
    "successive halving": halving,
    "median pruner": median_pruner,
}
# These take longer, so they are replayed in fewer orders.
SLOW = {"race, Optuna's suggestions": 10, "median pruner": 10}


def rows(grid: Grid, orders: int) -> Iterator[list[str]]:
    """Rows of the table of a grid, a search each."""
    yield ["search", "orders", "cost", "95%", "chosen/best, 95%", "the best in", "grid's price"]
    for name, search in SEARCHES.items():
        num = max(orders // SLOW.get(name, 1), 1)
        found = [each for each in replays(grid, search, num) if each is not None]
        yield [name, *(_cells(grid, found) if found else ["-"] * 6)]


def replays(grid: Grid, search: Search, orders: int) -> Iterator[Found | None]:
    """Run a search in so many orders; None where the grid lacks what it needs."""
    for order in range(orders):
        result = search(grid.shuffled(np.random.default_rng((SEED, order))), order)
        yield result
        if result is None:
            return


def _cells(grid: Grid, found: Sequence[Found]) -> list[str]:
    ert, whole = grid.ert(), float(grid.cost.sum())
    cost = np.array([each.spent for each in found]) / whole
    ratio = np.array([math.inf if each.chosen is None else ert[each.chosen] for each in found])
    ratio /= ert.min()
    priced = np.array([each.priced or math.nan for each in found]) / whole
    return [
        str(len(found)),
        f"{cost.mean():.1%}",
        f"{np.quantile(cost, 0.95):.1%}",
        # Of several values the larger one: half-way to an infinite one means nothing.
        f"{np.quantile(ratio, 0.95, method='higher'):.3f}",
        f"{(ratio <= 1 + 1e-9).mean():.1%}",
        "-" if np.isnan(priced).all() else _spread(priced[~np.isnan(priced)]),
    ]


def _spread(values: Floats) -> str:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Print a table for each grid."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--grids", nargs="+", type=Path, help="only these tables of tools/published_grid.py"
    )
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--cost", choices=("time_s", "energy_j"), default="time_s")
    parser.add_argument("--made-up", action="store_true", help="the grids on which it was tuned")
    given = parser.parse_args()
    if given.made_up:
        grids = list(made_up())
    elif given.grids:
        grids = [published(path, given.cost) for path in given.grids]
    else:
        grids = [digits_90(), published(PUBLISHED / "search_grid.csv", given.cost)]
    for grid in grids:
        print(f"\n**{grid.name}** ({describe(grid)})\n")
        print_table(rows(grid, given.orders))


if __name__ == "__main__":
    main()
