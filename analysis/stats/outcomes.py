"""Which runs count, how each of them ended, and what it had cost by then.

All statistics of hits start from here. A run hit its target, missed it (its budget ended first: it
might have hit later) or failed (diverged, out of memory, killed: it would not have). The cost of a
hit is that until the target; of the other two it is all that was spent, which is a cost as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from pandas import DataFrame, Series

from analysis.load.joules import COST_BASIS, GRID
from analysis.load.values import numbers, short_name, with_only
from analysis.stats.comparable import comparable_keys
from bench.core.arrays import Bools, Floats
from bench.core.counting import Ended, counted
from bench.core.metric import Quantity

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
# Each quantity's own cost of reaching the target, not what follows from it.
TO_TARGET: dict[Quantity, str] = {
    "time_s": "target.time_to_target_s",
    "energy_j": "target.energy_to_target_j",
    "cost_usd": "target.cost_to_target_usd",
    "samples": "target.samples_to_target",
}
_CENSORED: dict[Quantity, str] = {
    "time_s": "target.censored_at_s",
    "energy_j": "target.censored_at_j",
}
_JOULES_PER_KWH = 3.6e6
# A status: the combination does not exist, so that it is neither a miss nor a failure.
REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """One quantity of some runs; every array of shape (n,), in the order of the runs.

    Attributes:
        cost: Quantity until the target, or in all by a run that did not reach it; NaN where it is
            not known.
        hit: Whether the target was reached.
        failed: Whether the run could not have reached it later either.
    """

    cost: Floats
    hit: Bools
    failed: Bools

    def __len__(self) -> int:
        """Number of runs."""
        return len(self.cost)

    @property
    def num_hits(self) -> int:
        """Number of runs that reached the target."""
        return int(self.hit.sum())

    @property
    def num_unknown(self) -> int:
        """Number of runs whose cost is not known."""
        return int(np.isnan(self.cost).sum())

    def with_misses_worst(self) -> Floats:
        """The cost of each run, infinite where the target was not reached."""
        return np.where(self.hit, self.cost, np.inf)


# What runs share that stand for one another: a run that was measured again, not one more repeat.
# `configuration` tells numbers of threads and environment variables apart. One that was charged
# otherwise was made for its money.
_ONE_PLACE = (
    "command",
    "config_hash",
    "configuration",
    "seed",
    "repeat",
    "trained.run_id",
    COST_BASIS,
    GRID,
)
_HOST = ("processor", "num_cpus", "memory_gib", "gpus")


def counted_runs(runs: DataFrame) -> DataFrame:
    """The rows that count: one run of each configuration, seed and repeat on one kind of host.

    A run that was measured again supersedes the one before it; one that was interrupted never
    counts, nor one that was refused: nothing was measured. What the others took is part of the cost
    of the search (search_cost), and of nothing else.

    Args:
        runs: Of load_runs, or some of its rows.

    Returns:
        Some of the rows, in their order.

    Source: the rule is that of bench.core.counting.counted.
    """
    if runs.empty:
        return runs
    places = runs.reindex(columns=list(_ONE_PLACE))
    if places.duplicated().any():  # only then does it matter where they ran
        places = places.assign(**comparable_keys(runs)[list(_HOST)])
    ended = list(_ended(runs))
    kept = []
    for rows in places.groupby(list(places.columns), sort=False, dropna=False).indices.values():
        chosen = counted([ended[row] for row in rows])
        if chosen is not None and ended[rows[chosen]].status != REFUSED:
            kept.append(rows[chosen])
    return runs.iloc[sorted(kept)]


def _ended(runs: DataFrame) -> Iterator[Ended]:
    kinds = runs["error.kind"].astype(object).where(runs["error.kind"].notna(), None)
    columns = (runs["status"], kinds, runs["started_utc"], runs["run_id"])
    for status, kind, started_utc, run_id in zip(*columns, strict=True):
        yield Ended(str(status), kind, str(started_utc), str(run_id))


def with_target(runs: DataFrame) -> DataFrame:
    """The rows of runs that had a target: trainings."""
    return runs[runs["target.metric"].notna()]


def refused(runs: DataFrame) -> Series:
    """Whether each run was refused: what was asked for does not exist in this combination."""
    return runs["status"].eq(REFUSED).astype(bool)


def reached(runs: DataFrame) -> Series:
    """Whether each run reached its target, as booleans: False, too, where it had none."""
    return runs["target.reached"].eq(True).astype(bool)


def hosts(runs: DataFrame) -> Series:
    """The processor of each run: repeats on different ones are no repeats.

    A run that was killed before it wrote its record down does not say; it belongs to the only
    processor that its configuration ran on, and is of an `unknown host` where there were several.
    """
    known = with_only(runs["host.cpu_name"], runs["config_hash"])
    return known.fillna("unknown host").astype("str").map(short_name)


def outcomes(runs: DataFrame, quantity: Quantity = "time_s") -> Outcomes:
    """How some trainings ended and what they had cost.

    Args:
        runs: Of load_runs, trainings only (with_target).
        quantity: Of QUANTITIES. Joules have labels: give runs of one label.

    Raises:
        ValueError: There is no such quantity, or a run had no target.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity={quantity}: must be of {', '.join(QUANTITIES)}")
    if runs["target.metric"].isna().any():
        raise ValueError("outcomes: a run had no target; take with_target(runs)")
    hit = reached(runs)
    in_vain = spent(runs, quantity)
    if quantity in _CENSORED:
        censored = numbers(runs, _CENSORED[quantity])
        in_vain = censored.where(censored.notna(), in_vain)
    cost: Floats = np.asarray(runs[TO_TARGET[quantity]].where(hit, in_vain), dtype=np.float64)
    failed = ~hit & ~runs["status"].isin(["ok", "interrupted"])
    return Outcomes(cost=cost, hit=hit.to_numpy(), failed=failed.to_numpy())


def spent(runs: DataFrame, quantity: Quantity) -> Series:
    """What each run had spent when it ended, whether it reached its target or not; NaN: unknown.

    Time is that on the clock. Money is time x hourly price + joules x electricity price, by the
    prices in the run's configuration, as the record's own cost_to_target_usd. A run that ended in
    its own set-up had spent nothing on the clock. A run that was killed before its first evaluation
    left nothing behind that says what it had spent: unknown, not 0.

    Source: docs/metrics.md, "Cost and emissions".
    """
    unused = _never_on_the_clock(runs)
    time_s = numbers(runs, "phases.wall_time_s").mask(unused, 0.0)
    energy_j = numbers(runs, "energy_total_j").mask(unused, 0.0)
    if quantity == "time_s":
        return time_s
    if quantity == "energy_j":
        return energy_j
    if quantity == "samples":
        samples = time_s / numbers(runs, "target.time_per_sample_s")
        return samples.round().mask(unused, 0.0)
    return _money_usd(runs, time_s, energy_j)


def _never_on_the_clock(runs: DataFrame) -> Series:
    """Runs whose own process wrote its times down, and none of the clock: it had not started."""
    return runs["phases.init_s"].notna() & runs["phases.wall_time_s"].isna()


def _money_usd(runs: DataFrame, time_s: Series, energy_j: Series) -> Series:
    per_hour, per_kwh = (
        numbers(runs, f"config.price.{name}") for name in ("usd_per_hour", "usd_per_kwh")
    )
    of_time = (time_s / 3600 * per_hour).where(per_hour.notna(), 0.0)
    # What costs nothing need not be known.
    of_energy = (energy_j / _JOULES_PER_KWH * per_kwh).where(per_kwh > 0, 0.0)
    return (of_time + of_energy).where(per_hour.notna() | per_kwh.notna())
