"""How each run ended and what it had cost by then: what all statistics of hits start from.

A run hit its target, missed it (its budget ended first or it was interrupted: it might have hit
later) or failed (diverged, out of memory, killed: it would not have). The cost of a hit is that
until the target; of the other two it is all that was spent, which is a cost as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pandas import DataFrame, Series

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Quantity = Literal["time_s", "energy_j", "cost_usd", "samples"]

QUANTITIES: tuple[Quantity, ...] = ("time_s", "energy_j", "cost_usd", "samples")
_TO_TARGET: dict[Quantity, str] = {
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcomes:
    """One quantity of some runs; every array of shape (n,), in the order of the runs.

    Attributes:
        cost: Spent until the target, or in all by a run that did not reach it; NaN where it is
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


def with_target(runs: DataFrame) -> DataFrame:
    """The rows of runs that had a target: trainings."""
    return runs[runs["target.metric"].notna()]


def reached(runs: DataFrame) -> Series:
    """Whether each run reached its target, as booleans: False, too, where it had none."""
    return runs["target.reached"].eq(True).astype(bool)


def hosts(runs: DataFrame) -> Series:
    """The processor of each run: repeats on different ones are no repeats.

    A run that was killed before it wrote its record down does not say; it belongs to the only
    processor that its configuration ran on, and is of an `unknown host` where there were several.
    """
    told = runs["host.cpu_name"].astype(object)
    by = runs.groupby("config_hash")["host.cpu_name"]
    only = by.transform("first").astype(object).where(by.transform("nunique") == 1)
    return told.fillna(only).fillna("unknown host").astype("str")


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
        censored = runs[_CENSORED[quantity]].astype("float64")
        in_vain = censored.where(censored.notna(), in_vain)
    cost: Floats = np.asarray(runs[_TO_TARGET[quantity]].where(hit, in_vain), dtype=np.float64)
    failed = ~hit & ~runs["status"].isin(["ok", "interrupted"])
    return Outcomes(cost=cost, hit=hit.to_numpy(), failed=failed.to_numpy())


def spent(runs: DataFrame, quantity: Quantity) -> Series:
    """What each run had spent when it ended, whether it reached its target or not; NaN: unknown.

    Time is that on the clock. Money is time x hourly price + joules x electricity price, by the
    prices in the run's configuration, as the record's own cost_to_target_usd. A run whose clock
    never started had spent nothing on it.

    Source: docs/metrics.md, "Cost and emissions".
    """
    time_s = runs["phases.wall_time_s"].astype("float64")
    unused = time_s == 0
    energy_j = runs["energy_total_j"].astype("float64").mask(unused, 0.0)
    if quantity == "time_s":
        return time_s
    if quantity == "energy_j":
        return energy_j
    if quantity == "samples":
        samples = time_s / runs["target.time_per_sample_s"].astype("float64")
        return samples.round().mask(unused, 0.0)
    return _money_usd(runs, time_s, energy_j)


def _money_usd(runs: DataFrame, time_s: Series, energy_j: Series) -> Series:
    per_hour, per_kwh = _price(runs, "usd_per_hour"), _price(runs, "usd_per_kwh")
    of_time = (time_s / 3600 * per_hour).where(per_hour.notna(), 0.0)
    of_energy = (energy_j / _JOULES_PER_KWH * per_kwh).where(per_kwh.notna(), 0.0)
    return (of_time + of_energy).where(per_hour.notna() | per_kwh.notna())


def _price(runs: DataFrame, name: str) -> Series:
    column = f"config.price.{name}"
    missing = Series(np.nan, index=runs.index, dtype="float64")
    return runs[column].astype("float64") if column in runs else missing
