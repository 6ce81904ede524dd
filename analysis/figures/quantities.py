"""What an axis can show: columns of the runs with their labels, costs, and the basis of money."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from pandas import DataFrame, Series

from analysis.load import joules
from analysis.load.values import column, numbers
from analysis.stats.lifecycle import fixed_rates
from analysis.stats.outcomes import TO_TARGET
from analysis.stats.qualities import direction_of
from bench.core.metric import Better, Quantity, with_unit
from bench.core.metrics import KNOWN, better, label_of
from bench.core.quality_rows import is_quality
from bench.core.suggest import did_you_mean

SETTING = "config."
BATCH_SIZE = "config.batch_size"
_THROUGHPUT = "serving.throughput_per_s"
_SAMPLE = re.compile(r"\bsample(s?)\b")


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
            _require_direction(runs, key, name)


def direction(runs: DataFrame, name: str) -> Better | None:
    """Which direction of an axis is better; None for a setting.

    Args:
        runs: As loaded; they know the direction of a user's own metric.
        name: Of the column.

    Raises:
        ValueError: It is neither a setting nor a number of a record.
    """
    if is_quality(name):
        return direction_of(runs, name)
    return None if name.startswith(SETTING) else better(name)


def is_charge(name: str, endings: tuple[str, ...] = ("_j", "_usd", "_gco2e")) -> bool:
    """Whether a column holds joules, money or carbon; a user's own metric may end likewise."""
    return name.endswith(endings) and not is_quality(name)


def sample_of(runs: DataFrame) -> str:
    """What is one sample in these runs, such as `row`; empty if it is not known or differs."""
    kinds = column(runs, "task.sample").dropna().unique()
    return str(kinds[0]) if len(kinds) == 1 else ""


def sample_in(data: DataFrame) -> str:
    """The sample of the data of a figure, whose column `sample` is that of sample_of."""
    sample = column(data, "sample").iloc[0]
    return sample if isinstance(sample, str) else ""  # an empty text in a file is missing


def label_in(path: str, sample: str) -> str:
    """Label a column for an axis, and say what one sample is: `throughput (rows/s)`.

    Args:
        path: Column of the runs.
        sample: Of sample_of.
    """
    if not sample:
        return label_of(path)
    if path == _THROUGHPUT:
        return with_unit(KNOWN[path].title, f"{sample}s/s")
    # A batch of a language model is counted in sequences, and a sample is a token.
    counted = "sequence" if path == BATCH_SIZE and sample == "token" else sample
    return _SAMPLE.sub(lambda match: counted + match[1], label_of(path))


def label_with(label: str, how: str) -> str:
    """Add to a label how its joules were obtained, inside the parentheses of its unit."""
    return f"{label.removesuffix(')')}, {how})" if label.endswith(")") else f"{label} ({how})"


def cost_label(data: DataFrame, paths: Mapping[Quantity, str] = TO_TARGET) -> str:
    """Label the axis of a cost by the catalogue; for joules, add how they were obtained.

    Args:
        data: With `quantity`, `energy_label` and perhaps `sample`.
        paths: Column of the runs by quantity.
    """
    label = label_in(paths[data["quantity"].iloc[0]], sample_in(data))
    is_time = data["quantity"].iloc[0] == "time_s"
    return label if is_time else label_with(label, data["energy_label"].iloc[0])


def _require_numbers(runs: DataFrame, key: str, name: str) -> None:
    if name not in KNOWN and name not in runs:
        raise ValueError(f"{key}={name}: no such column{_meant(runs, name)}")
    if name not in KNOWN and not _holds_numbers(runs, name):
        raise ValueError(f"{key}={name}: holds no numbers; take a column that does")


def _require_direction(runs: DataFrame, key: str, name: str) -> None:
    if is_quality(name):
        try:
            known = direction_of(runs, name)
        except ValueError as error:
            raise ValueError(f"{key}={error}") from error
        # Runs without a value are not drawn, and need not know it.
        if known is None and column(runs, name).notna().any():
            raise ValueError(
                f"{key}={name}: whether more or less of it is better is not known; take a metric "
                "with higher_is_better, or one that was the target"
            )
        return
    if name not in KNOWN or KNOWN[name].better is None:
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
    return [name for name, metric in KNOWN.items() if metric.better is not None]


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
