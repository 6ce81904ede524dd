"""What an axis can show: columns of the runs with their labels, costs, and the basis of money."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pandas import DataFrame, Series

from analysis.load import joules
from analysis.load.values import column, numbers
from analysis.stats.lifecycle import fixed_rates
from analysis.stats.outcomes import TO_TARGET
from bench.core.metric import Better, Quantity
from bench.core.metrics import METRICS, better, label_of
from bench.core.suggest import did_you_mean

SETTING = "config."


def require_axes(runs: DataFrame, x: str, y: str, area: str | None = None) -> None:
    """Refuse columns that cannot be the axes of a tradeoff.

    An axis is a result with a known better direction, or a setting (`config.NAME`), for which there
    is no front. The area of a point can be any number.

    Args:
        runs: As loaded.
        x: Column from left to right.
        y: Column from bottom to top.
        area: Column that the area of a point stands for.

    Raises:
        ValueError: One of them is not a column, holds no numbers, or has no better direction; the
            message names the key and similar columns.
    """
    for key, name in (("x", x), ("y", y), ("area", area)):
        if name is None:
            continue
        _require_numbers(runs, key, name)
        if key != "area" and not name.startswith(SETTING):
            _require_direction(key, name)


def direction(name: str) -> Better | None:
    """Which direction of an axis is better; None for a setting.

    Raises:
        ValueError: It is neither a setting nor a number of a record.
    """
    return None if name.startswith(SETTING) else better(name)


def label_with(label: str, how: str) -> str:
    """Add to a label how its joules were obtained, inside the parentheses of its unit."""
    return f"{label.removesuffix(')')}, {how})" if label.endswith(")") else f"{label} ({how})"


def cost_label(data: DataFrame, paths: Mapping[Quantity, str] = TO_TARGET) -> str:
    """Label the axis of a cost by the catalogue; for joules, add how they were obtained.

    Args:
        data: With `quantity` and `energy_label`.
        paths: Column of the runs by quantity.
    """
    label = label_of(paths[data["quantity"].iloc[0]])
    is_time = data["quantity"].iloc[0] == "time_s"
    return label if is_time else label_with(label, data["energy_label"].iloc[0])


def _require_numbers(runs: DataFrame, key: str, name: str) -> None:
    if name not in METRICS and name not in runs:
        raise ValueError(f"{key}={name}: no such column{_meant(runs, name)}")
    if name not in METRICS and not _holds_numbers(runs, name):
        raise ValueError(f"{key}={name}: holds no numbers; take a column that does")


def _require_direction(key: str, name: str) -> None:
    if name not in METRICS or METRICS[name].better is None:
        raise ValueError(
            f"{key}={name}: neither more nor less of it is better, so there is nothing to trade "
            f"off; take a result such as target.time_to_target_s, or a setting ({SETTING}NAME)"
        )


def _holds_numbers(runs: DataFrame, name: str) -> bool:
    """Whether any run has a number there; runs with a text in its place are then left out."""
    return bool(numbers(runs, name).notna().any()) or bool(runs[name].isna().all())


def _meant(runs: DataFrame, name: str) -> str:
    """Suggest columns for a wrong name."""
    settings = [str(column) for column in runs if str(column).startswith(SETTING)]
    known = [*(column for column in settings if _holds_numbers(runs, column)), *_results()]
    return did_you_mean(name, known) or (
        f"; results are named as in a record, such as target.time_to_target_s, settings "
        f"{SETTING}NAME, such as {SETTING}batch_size"
    )


def _results() -> list[str]:
    return [name for name, metric in METRICS.items() if metric.better is not None]


def counted_costs(runs: DataFrame, cost: DataFrame, name: str) -> Series:
    """Which runs have a cost: those with a known one, and those that missed their target.

    A run that missed counts as infinite even if its cost is unknown because it was killed early.
    The exception is a cost in joules without a meter: runs like it that hit have no cost either,
    and counting only the misses would be wrong.

    Args:
        runs: Of `training_runs`.
        cost: Of `spent`.
        name: Of COSTS, or a quantity.
    """
    metered = column(runs, "energy_label").notna()
    if not metered.any() or not name.endswith(("_j", "_usd", "_gco2e")):
        return cost["value"].notna() | cost["bound"]
    # A run that was killed may have had a meter, whose label it did not live to record.
    cut_off = ~column(runs, "status").isin(["ok", "failed", "out_of_memory"])
    return cost["value"].notna() | (cost["bound"] & (metered | cut_off))


def cost_bases(runs: DataFrame) -> Series:
    """What the money of each run pays for, by the price in its configuration: `electricity`, ...

    Money for electricity alone and money for a rented machine are never on one scale.
    """
    return joules.cost_bases(runs).fillna("no price")


def rate_words(runs: DataFrame) -> Series:
    """The fixed rate of a serving in words; the cost of a prediction depends on it."""
    rates = fixed_rates(runs)
    return rates.map(lambda each: "" if np.isnan(each) else f"at {each:g} queries/s").astype(object)
