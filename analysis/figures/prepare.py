"""From the runs as they were loaded to what figures share: outcome, cost spent, ranking.

A run is `reached`, `missed` (its budget ended first: the cost is a lower bound) or `failed` (it
would not have hit later). All three stay inside, whatever a figure shows.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from pandas import DataFrame, Series

from analysis.load.values import column, numbers, short_name, with_only
from analysis.stats.outcomes import TO_TARGET, counted_runs, hosts, outcomes
from bench.core.differing import part_names, texts_of
from bench.core.metric import Quantity

# What a run in vain has spent of each cost of reaching the target, where that is known.
COSTS: dict[str, Quantity | None] = {
    **{path: quantity for quantity, path in TO_TARGET.items()},
    "target.emissions_to_target_gco2e": None,
}
# What the statistics of outcomes ask of a run; missing in all where no run has it.
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
HIGHLIGHTED = 6  # more lines than that a person cannot tell apart
_GREY = 80  # more grey lines only make a blot

_T = TypeVar("_T")


class NothingToDraw(ValueError):  # noqa: N818  # an answer, not a mistake
    """The runs do not hold what a figure shows; the message says what is missing."""


def are_comparable(runs: DataFrame) -> Series:
    """Whether nothing speaks against a run; one that was cut off had no time to say."""
    return ~column(runs, "health.comparable").eq(False)


def training_runs(runs: DataFrame) -> DataFrame:
    """The trainings that count, with `outcome`, `comparable` and `architecture` added.

    Of one configuration, seed and repeat one run counts (outcomes.counted_runs). Runs of several
    kinds of host are told apart in `configuration`: they are no repeats.

    Raises:
        NothingToDraw: There are none.
    """
    found = _counted(runs[column(runs, "target.metric").notna()])
    if found.empty:
        raise NothingToDraw("no run of a training")
    found["outcome"] = _outcomes(found)
    found["comparable"] = are_comparable(found)
    found["architecture"] = architectures(found)
    return _with_host(found)


def serving_runs(runs: DataFrame) -> DataFrame:
    """The runs of bench.serve that answered requests and count, with `comparable` and `valid`.

    Raises:
        NothingToDraw: There are none.
    """
    found = _counted(runs[column(runs, "serving.scenario").notna()])
    if found.empty:
        raise NothingToDraw("no run of bench.serve")
    found["comparable"] = are_comparable(found)
    found["valid"] = column(found, "serving.valid").eq(True).fillna(False).astype(bool)
    return _with_host(found)


def _counted(runs: DataFrame) -> DataFrame:
    """A copy of the runs that count, with every column that statistics ask for."""
    return counted_runs(runs.assign(**{n: np.nan for n in _NEEDED if n not in runs})).copy()


def _outcomes(runs: DataFrame) -> Series:
    ended = outcomes(runs)
    names = np.select([ended.hit, ended.failed], ["reached", "failed"], "missed")
    return Series(names, index=runs.index, dtype=object)


def _with_host(runs: DataFrame) -> DataFrame:
    if column(runs, "host.cpu_name").nunique() > 1:
        runs["configuration"] = runs["configuration"].astype(str) + " @ " + hosts(runs)
    return runs


def architectures(runs: DataFrame) -> Series:
    """The model's name, with those of its settings that differ under the same name."""
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
            if rows[key].nunique() > 1:
                own = rows.dropna(subset=[key])
                named[own.index] += " " + texts_of(own, [key]).str.removeprefix("model.")
    return named.map(short_name)


def spent(runs: DataFrame, name: str) -> DataFrame:
    """What each run cost until its target, or in all where it never got there.

    Args:
        runs: Of `training_runs`.
        name: Of COSTS.

    Returns:
        A row for each run in the same order: `value`, `bound` (whether the run did not reach its
        target, so that the value is what was spent in vain; missing where that is not known).
    """
    quantity = COSTS[name]
    missed = runs["outcome"] != "reached"
    if quantity is None:
        value = numbers(runs, name).where(~missed)
    else:
        value = Series(outcomes(runs, quantity).cost, index=runs.index)
    return DataFrame({"value": value, "bound": missed}, index=runs.index)


def spent_quantity(runs: DataFrame, quantity: Quantity) -> DataFrame:
    """As `spent`, by the quantity's name."""
    return spent(runs, TO_TARGET[quantity])


def with_label_names(runs: DataFrame, labels: Series | None) -> DataFrame:
    """The same, with how joules were obtained in the names where that differs.

    So measured and modelled energy are never taken together, nor drawn without saying which it is.

    Args:
        runs: With `configuration`, and perhaps `architecture`.
        labels: Of the runs; None where no joules are drawn.
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
    """The label of each run; one that was cut off before it had one is a repeat of the others.

    It has the only label of its configuration, else the only one of all runs, else `no label`.
    """
    own = with_only(labels, runs["configuration"])
    return with_only(own).fillna("no label").astype(str)


def joule_kinds(runs: DataFrame, part: str = "") -> Series:
    """How the joules of each run were obtained, and of which components where that differs.

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
    """As training_runs; where joules are drawn, with their labels in the names if they differ.

    Raises:
        NothingToDraw: There are none.
    """
    trained = training_runs(runs)
    if quantity.startswith("time") or quantity == "samples":
        return trained
    return with_label_names(trained, joule_kinds(trained))


def energy_labels(runs: DataFrame) -> str:
    """How the joules of these runs were obtained, for an axis; `by label` if in many ways."""
    labels = column(runs, "energy_label").dropna().astype(str).unique()
    return str(labels[0]) if len(labels) == 1 else "by label" if len(labels) else "no label"


def quality_label(metrics: Series) -> str:
    """The axis of the qualities that targets are about: `validation accuracy`."""
    return f"validation {', '.join(sorted(metrics.unique())).replace('_', ' ')}"


def ranked(runs: DataFrame) -> list[str]:
    """Configurations from the best to the worst: by share of hits, then by median time of hits."""
    cost = spent_quantity(runs, "time_s")
    table = DataFrame(
        {
            "configuration": runs["configuration"],
            "hit": (runs["outcome"] == "reached").astype(float),
            "cost": cost["value"].where(~cost["bound"]),
        }
    )
    groups = table.groupby("configuration", sort=True)
    order = DataFrame({"hit": -groups["hit"].mean(), "cost": groups["cost"].median()})
    return [str(name) for name in order.sort_values(["hit", "cost"], kind="stable").index]


def drawn(order: list[str]) -> dict[str, str]:
    """Which configurations are drawn and how: the best as a `line`, some of the others in `grey`.

    Args:
        order: All of them, from the best to the worst.
    """
    best, others = order[:HIGHLIGHTED], evenly(order[HIGHLIGHTED:], _GREY)
    return dict.fromkeys(best, "line") | dict.fromkeys(others, "grey")


def counts(runs: DataFrame) -> DataFrame:
    """By configuration: `num_runs`, `num_reached` and `num_incomparable`."""
    table = DataFrame(
        {
            "configuration": runs["configuration"],
            "num_runs": 1,
            "num_reached": (runs["outcome"] == "reached").astype(int),
            "num_incomparable": (~runs["comparable"]).astype(int),
        }
    )
    return table.groupby("configuration", sort=False).sum()


def counted_name(name: str, num_runs: int, num_reached: int, num_incomparable: int) -> str:
    """A configuration and its hits, for a legend: `lr=0.1  2/3, 1 incomparable`."""
    incomparable = f", {num_incomparable} incomparable" if num_incomparable else ""
    return f"{name or 'all runs'}  {num_reached}/{num_runs}{incomparable}"


def evenly(items: list[_T], most: int) -> list[_T]:
    """Choose at most that many items, evenly over their order, with the first and the last."""
    if len(items) <= most:
        return items
    places = np.linspace(0, len(items) - 1, most).round().astype(int)
    return [items[place] for place in places]
