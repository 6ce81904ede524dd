"""Which runs count, how each of them ended, and what it had cost by then.

All statistics of hits start here. A run hit its target, missed it (its budget ended first: it might
have hit later) or failed (diverged, out of memory, killed: it would not have). A hit costs what was
spent until the target; a miss or a failure costs all that was spent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

import numpy as np
from pandas import DataFrame, Series

from analysis.load.joules import COST_BASIS, GRID
from analysis.load.once import once
from analysis.load.values import column, numbers, rows_by_key, short_name, with_only
from analysis.stats.peer_keys import peer_keys
from bench.core.arrays import Bools, Floats
from bench.core.counting import Ended, choose_run
from bench.core.metric import Quantity
from bench.core.price import JOULES_PER_KWH

QUANTITIES: tuple[Quantity, ...] = get_args(Quantity)
# The cost of reaching the target in each quantity.
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
# A status. The combination does not exist, so the run is neither a miss nor a failure.
REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """One quantity of some runs; every array of shape (n,), in the order of the runs.

    Attributes:
        cost: What was spent until the target, or altogether if the run did not reach it; NaN if
            unknown.
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


# Runs that share all of these measured the same thing again; they are not further repeats.
# A file of data may have changed under one configuration.
# `configuration` differs between numbers of threads and environment variables. A run with another
# price is kept beside the first, because somebody made it to learn what it costs.
_ONE_PLACE = (
    "command",
    "config_hash",
    "configuration",
    "seed",
    "repeat",
    "trained.run_id",
    "task.data_hash",
    COST_BASIS,
    GRID,
)
# Of peer_keys: the same work on another kind of host is another measurement.
_HOST = ("processor", "num_cpus", "memory_gib", "gpus")


@once
def counted_runs(runs: DataFrame) -> DataFrame:
    """Select the rows that count: one run per configuration, seed, repeat and kind of host.

    A later run supersedes an earlier one. Interrupted runs never count, nor do refused ones, which
    measured nothing. The runs that do not count are part of the cost of the search (search_cost)
    and of nothing else.

    Args:
        runs: Of load_runs, or some of its rows.

    Returns:
        Some of the rows, in their order.

    Source: the rule is that of bench.core.counting.choose_run.
    """
    if runs.empty:
        return runs
    keys = runs.reindex(columns=list(_ONE_PLACE))
    places = rows_by_key(keys)
    if len(places) < len(runs):  # the kind of host, which takes longer to find, now matters
        places = rows_by_key(keys.assign(**peer_keys(runs)[list(_HOST)]))
    ended = list(_ended(runs))
    kept = []
    for rows in places.values():
        chosen = choose_run([ended[row] for row in rows])
        if chosen is not None and ended[rows[chosen]].status != REFUSED:
            kept.append(rows[chosen])
    return runs.iloc[sorted(kept)]


def _ended(runs: DataFrame) -> Iterator[Ended]:
    kinds = runs["error.kind"].astype(object).where(runs["error.kind"].notna(), None)
    columns = (runs["status"], kinds, runs["started_utc"], runs["run_id"], cut_off(runs))
    for status, kind, started_utc, run_id, stopped in zip(*columns, strict=True):
        yield Ended(str(status), kind, str(started_utc), str(run_id), bool(stopped))


def with_target(runs: DataFrame) -> DataFrame:
    """The rows of runs that had a target: trainings."""
    return runs[runs["target.metric"].notna()]


def refused(runs: DataFrame) -> Series:
    """Whether each run was refused, because its combination of settings does not exist."""
    return runs["status"].eq(REFUSED).astype(bool)


def reached(runs: DataFrame) -> Series:
    """Whether each run reached its target; False also for a run without one."""
    return runs["target.reached"].eq(True).astype(bool)


def cut_off(runs: DataFrame) -> Series:
    """Whether a search stopped each run before its target and before the end of its budget."""
    return column(runs, "target.cut_off_by").notna().astype(bool)


def hosts(runs: DataFrame) -> Series:
    """The processor of each run; runs on different processors are not repeats of one another.

    A run that was killed before it wrote its record does not name its processor. It gets the only
    one that its configuration ran on, or `unknown host` if there were several.
    """
    known = with_only(runs["host.cpu_name"], runs["config_hash"])
    return known.fillna("unknown host").astype("str").map(short_name)


def outcomes(runs: DataFrame, quantity: Quantity = "time_s") -> Outcomes:
    """How some trainings ended and what they cost.

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
    without_hit = spent(runs, quantity)
    if quantity in _CENSORED:
        # A record says itself when a miss was censored: at the end of its budget, not of its
        # process.
        without_hit = numbers(runs, _CENSORED[quantity]).fillna(without_hit)
    cost: Floats = np.asarray(runs[TO_TARGET[quantity]].where(hit, without_hit), dtype=np.float64)
    # Interrupted runs do not count anyway; nothing is known about how they would have ended.
    failed = ~hit & ~runs["status"].isin(["ok", "interrupted"])
    return Outcomes(cost=cost, hit=hit.to_numpy(), failed=failed.to_numpy())


def spent(runs: DataFrame, quantity: Quantity) -> Series:
    """What each run had spent when it ended, whether or not it reached its target; NaN if unknown.

    Time is the time on the clock. Money is time x hourly price + joules x electricity price, by the
    prices in the run's configuration, like the record's cost_to_target_usd. A run that ended during
    set-up spent nothing on the clock. A run that was killed before its first evaluation recorded no
    cost: it is unknown, not 0.

    Source: docs/metrics.md, "Cost and emissions".
    """
    unused = _never_on_the_clock(runs)
    if quantity == "energy_j":
        return numbers(runs, "energy_total_j").mask(unused, 0.0)
    time_s = numbers(runs, "phases.wall_time_s").mask(unused, 0.0)
    if quantity == "time_s":
        return time_s
    if quantity == "samples":
        # The record has samples only up to the target.
        samples = time_s / numbers(runs, "target.time_per_sample_s")
        return samples.round().mask(unused, 0.0)
    return money_usd(runs, time_s, spent(runs, "energy_j"))


def _never_on_the_clock(runs: DataFrame) -> Series:
    """Which runs wrote down their set-up but no time on the clock, which had not started."""
    return runs["phases.init_s"].notna() & runs["phases.wall_time_s"].isna()


def money_usd(runs: DataFrame, time_s: Series, energy_j: Series) -> Series:
    """Charge times and joules by the prices of the runs; NaN if a price or needed joules lack.

    Args:
        runs: Of load_runs.
        time_s: Of each run.
        energy_j: Of each run.
    """
    per_hour, per_kwh = (
        numbers(runs, f"config.price.{name}") for name in ("usd_per_hour", "usd_per_kwh")
    )
    # The hourly price is that of one node.
    num_nodes = numbers(runs, "config.trainer.num_nodes").fillna(1.0)
    rent_usd = (time_s / 3600 * per_hour * num_nodes).where(per_hour.notna(), 0.0)
    # Unknown joules do not matter if electricity is free.
    electricity_usd = (energy_j / JOULES_PER_KWH * per_kwh).where(per_kwh > 0, 0.0)
    return (rent_usd + electricity_usd).where(per_hour.notna() | per_kwh.notna())
