"""Which costs have a place in a figure, what money pays for, and at which rate queries came."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame, Series

from analysis.load import joules
from analysis.load.values import column
from analysis.stats.lifecycle import asked_rates


def counted_costs(runs: DataFrame, cost: DataFrame, name: str) -> Series:
    """Which runs have a place among costs: known ones, and runs that never reached their target.

    A run that missed counts as infinite even if what it spent is not known: it was killed too early
    to tell. It does not where joules are asked for and its meter was missing: runs of its like that
    hit have no cost either, and only their misses would be left.

    Args:
        runs: Of `training_runs`.
        cost: Of `spent`.
        name: Of COSTS, or a quantity.
    """
    metered = column(runs, "energy_label").notna()
    if not metered.any() or not name.endswith(("_j", "_usd", "_gco2e")):
        return cost["value"].notna() | cost["bound"]
    cut_off = ~column(runs, "status").isin(["ok", "failed", "out_of_memory"])
    return cost["value"].notna() | (cost["bound"] & (metered | cut_off))


def cost_bases(runs: DataFrame) -> Series:
    """What the money of each run pays for, by the price in its configuration: `electricity`, say.

    Electricity alone and a machine by the hour are never on one scale.
    """
    return joules.cost_bases(runs).fillna("no price")


def rate_words(runs: DataFrame) -> Series:
    """The rate that a serving was asked for, in words: what a prediction takes depends on it."""
    rates = asked_rates(runs)
    return rates.map(lambda each: "" if np.isnan(each) else f"at {each:g} queries/s").astype(object)
