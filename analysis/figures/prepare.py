"""What figures share when they prepare loaded runs: outcome, cost, ranking.

A run is `reached`, `missed` (its budget ended first: the cost is a lower bound) or `failed` (it
would not have hit later). Every figure includes all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from pandas import DataFrame, Series, concat

from analysis.load.once import once
from analysis.load.values import column, numbers, short_name, with_only
from analysis.stats.outcomes import TO_TARGET, counted_runs, hosts, outcomes
from bench.core.differing import part_names, texts_of
from bench.core.metric import Quantity
from bench.core.metrics import label_of
from bench.core.quality_rows import VALIDATION

# Costs of reaching the target, and the quantity that gives what a run spent without reaching it.
COSTS: dict[str, Quantity | None] = {
    **{path: quantity for quantity, path in TO_TARGET.items()},
    "target.emissions_to_target_gco2e": None,
}
# Columns that the statistics of outcomes read; filled with NaN if no run has them.
_NEEDED = (
    *COSTS,
    "status",
    "error.kind",
    "started_utc",
    "trained.run_id",
    "phases.init_s",
    "phases.wall_time_s",
    "energy_total_j",
    "target.time_per_sample_s",
    "target.censored_at_s",
    "target.censored_at_j",
)
HIGHLIGHTED = 6  # a reader cannot tell more lines apart
_MOST_GREY = 80  # more grey lines would only be a blot

_T = TypeVar("_T")


class NothingToDraw(ValueError):  # noqa: N818  # an answer to the user, not an error
    """The runs lack what a figure shows; the message says what is missing."""


def are_comparable(runs: DataFrame) -> Series:
    """Whether no health flag speaks against a run; one that was cut off has no flags."""
    return ~column(runs, "health.comparable").eq(False)


@once
def training_runs(runs: DataFrame) -> DataFrame:
    """Select the trainings that count, and add `outcome`, `comparable` and `architecture`.

    One run counts per configuration, seed and repeat (outcomes.counted_runs). If there are several
    kinds of host, `configuration` names them: their runs are not repeats.

    Raises:
        NothingToDraw: There are none.
    """
    trained = counted_copy(runs[column(runs, "target.metric").notna()])
    if trained.empty:
        raise NothingToDraw("no run of a training")
    trained["outcome"] = outcome_names(trained)
    trained["comparable"] = are_comparable(trained)
    trained["architecture"] = architectures(trained)
    return with_host(trained)


@once
def serving_runs(runs: DataFrame) -> DataFrame:
    """Select the runs of bench.serve that served and count, and add `comparable` and `valid`.

    Raises:
        NothingToDraw: There are none.
    """
    served = counted_copy(runs[column(runs, "serving.scenario").notna()])
    if served.empty:
        raise NothingToDraw("no run of bench.serve")
    served["comparable"] = are_comparable(served)
    served["valid"] = column(served, "serving.valid").eq(True).fillna(False).astype(bool)
    return with_host(served)


def counted_copy(runs: DataFrame) -> DataFrame:
    """Copy the runs that count, with every column that the statistics read."""
    # A copy, because the callers add columns.
    return counted_runs(runs.assign(**{n: np.nan for n in _NEEDED if n not in runs})).copy()


def outcome_names(runs: DataFrame) -> Series:
    """How each training ended: reached, missed or failed."""
    ended = outcomes(runs)
    names = np.select([ended.hit, ended.failed], ["reached", "failed"], "missed")
    return Series(names, index=runs.index, dtype=object)


def with_host(runs: DataFrame) -> DataFrame:
    """Add the processor to `configuration` if there are several."""
    if column(runs, "host.cpu_name").nunique() > 1:
        runs["configuration"] = runs["configuration"].astype(str) + " @ " + hosts(runs)
    return runs


def architectures(runs: DataFrame) -> Series:
    """Name each run's model, with the settings that differ between models of one name."""
    name = part_names(runs, "model")
    for other in ("config.model", "model.name", "trained.model"):
        name = name.fillna(column(runs, other).astype(object))
    name = name.fillna("model not recorded").astype(str)
    settings = [
        key
        for key in runs.columns
        if key.startswith("config.model.") and not key.endswith(("._target_", ".name"))
    ]
    named = name.copy()
    for _, rows in runs.groupby(name, sort=False):
        for key in settings:
            # Only settings that differ: a name with all settings would not fit a legend.
            if rows[key].nunique() > 1:
                known = rows.dropna(subset=[key])
                named[known.index] += " " + texts_of(known, [key]).str.removeprefix("model.")
    return named.map(short_name)


def spent(runs: DataFrame, name: str) -> DataFrame:
    """What each run cost until its target, or altogether if it did not reach it.

    Args:
        runs: Of `training_runs`.
        name: Of COSTS.

    Returns:
        A row for each run in the same order: `value`, missing if unknown, and `bound`, whether the
        run did not reach its target, which makes the value a lower bound.
    """
    quantity = COSTS[name]
    missed = runs["outcome"] != "reached"
    if quantity is None:
        # The record does not say what a miss emitted, so there is no bound.
        value = numbers(runs, name).where(~missed)
    else:
        value = Series(outcomes(runs, quantity).cost, index=runs.index)
    return DataFrame({"value": value, "bound": missed}, index=runs.index)


def spent_quantity(runs: DataFrame, quantity: Quantity) -> DataFrame:
    """As `spent`, by the quantity's name."""
    return spent(runs, TO_TARGET[quantity])


def with_label_names(runs: DataFrame, labels: Series | None) -> DataFrame:
    """Add how joules were obtained to the names of configurations, if runs differ in it.

    So measured and modelled energy are never mixed, nor drawn without their label.

    Args:
        runs: With `configuration`, and perhaps `architecture`.
        labels: Of the runs; None if no joules are drawn.
    """
    if labels is None:
        return runs
    names = filled_labels(runs, labels)
    if names.nunique() < 2:
        return runs
    named = runs.assign(configuration=runs["configuration"].astype(str) + " [" + names + "]")
    if "architecture" in named:
        named["architecture"] = named["architecture"].astype(str) + " [" + names + "]"
    return named


def filled_labels(runs: DataFrame, labels: Series) -> Series:
    """Fill in the label of each run that was cut off before it had one.

    It gets the only label of its configuration, else the only one of all runs, else `no label`.
    """
    filled = with_only(labels, runs["configuration"])
    return with_only(filled).fillna("no label").astype(str)


def joule_kinds(runs: DataFrame, part: str = "") -> Series:
    """How the joules of each run were obtained, and of which components if runs differ in them.

    Args:
        runs: As loaded.
        part: `serving` for those of a prediction.
    """
    names = (
        ("serving.energy_per_prediction_label", "serving.energy_components")
        if part
        else ("energy_label", "energy_components")
    )
    labels, components = (column(runs, name).astype(object) for name in names)
    if components.nunique() < 2:
        return labels
    return labels.where(components.isna() | labels.isna(), labels + ", " + components)


def trained_for(runs: DataFrame, quantity: str) -> DataFrame:
    """As training_runs; for joules or money, with differing labels in the names.

    Raises:
        NothingToDraw: There are none.
    """
    trained = training_runs(runs)
    # Time and samples are measured in one way only.
    if quantity.startswith("time") or quantity == "samples":
        return trained
    return with_label_names(trained, joule_kinds(trained))


def energy_labels(runs: DataFrame) -> str:
    """How the joules of these runs were obtained, for an axis; `by label` if in several ways."""
    labels = column(runs, "energy_label").dropna().astype(str).unique()
    return str(labels[0]) if len(labels) == 1 else "by label" if len(labels) else "no label"


def quality_label(metrics: Series) -> str:
    """The axis of the metric of targets: `validation accuracy (fraction)`."""
    return ", ".join(label_of(f"{VALIDATION}.{name}") for name in sorted(metrics.unique()))


def ranked(runs: DataFrame) -> list[str]:
    """Rank configurations from best to worst: by share of hits, then by median time of hits."""
    cost = spent_quantity(runs, "time_s")
    table = DataFrame(
        {
            "configuration": runs["configuration"],
            "hit": (runs["outcome"] == "reached").astype(float),
            "cost": cost["value"].where(~cost["bound"]),
        }
    )
    groups = table.groupby("configuration", sort=True)
    # Reliability before speed: a fast configuration that mostly misses is no winner.
    order = DataFrame({"hit": -groups["hit"].mean(), "cost": groups["cost"].median()})
    return [str(name) for name in order.sort_values(["hit", "cost"], kind="stable").index]


def drawn(order: list[str]) -> dict[str, str]:
    """Select the configurations to draw: the best as a `line`, some of the others in `grey`.

    Args:
        order: All of them, from best to worst.
    """
    best, others = order[:HIGHLIGHTED], evenly(order[HIGHLIGHTED:], _MOST_GREY)
    return dict.fromkeys(best, "line") | dict.fromkeys(others, "grey")


def counts(runs: DataFrame) -> DataFrame:
    """Count by configuration: `num_runs`, `num_reached` and `num_incomparable`."""
    table = DataFrame(
        {
            "configuration": runs["configuration"],
            "num_runs": 1,
            "num_reached": (runs["outcome"] == "reached").astype(int),
            "num_incomparable": (~runs["comparable"]).astype(int),
        }
    )
    return table.groupby("configuration", sort=False).sum()


def with_counts(parts: Sequence[DataFrame], runs: DataFrame, num: int) -> DataFrame:
    """Concatenate the data of configurations, with `counts` and their number.

    Args:
        parts: With `configuration`.
        runs: Of `training_runs`.
        num: Number of configurations, also of those that are not drawn.
    """
    data = concat(parts, ignore_index=True).merge(counts(runs), on="configuration")
    return data.assign(num_configurations=num)


def counted_name(name: str, num_runs: int, num_reached: int, num_incomparable: int) -> str:
    """Write a configuration and its hits for a legend: `lr=0.1  2/3, 1 incomparable`."""
    incomparable = f", {num_incomparable} incomparable" if num_incomparable else ""
    return f"{name or 'all runs'}  {num_reached}/{num_runs}{incomparable}"


def evenly(items: list[_T], most: int) -> list[_T]:
    """Choose at most `most` items, evenly over their order, including the first and the last."""
    if len(items) <= most:
        return items
    if most < 1:
        return []
    places = np.linspace(0, len(items) - 1, most).round().astype(int)
    return [items[place] for place in places]
