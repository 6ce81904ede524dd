"""What a model costs over its life: one training, and every prediction that it serves.

    cost(n) = training + n * per prediction

in seconds, joules and money. A model that costs more to train and less to serve than another has
paid for itself after

    n = (training_b - training_a) / (per_prediction_a - per_prediction_b)

predictions. The training of a run with a recipe includes the run that it learned from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from analysis.load.joules import COST_BASIS, ELECTRICITY
from analysis.load.values import MOST, column, numbers
from analysis.stats.outcomes import TO_TARGET
from bench.core.metric import Quantity

# What models must have in common so that their costs may be compared.
ALIKE = ("training_label", "serving_label", "rate_per_s")
_UNKNOWN = {
    "time_s": "the time of a prediction is not known",
    "energy_j": "a prediction was not metered",
    "cost_usd": "the cost of a prediction is not known",
}


def lives(runs: DataFrame, quantity: Quantity) -> DataFrame:
    """Collect the costs over the life of the model behind each serving.

    The time of a prediction is measured while the system answers as fast as it can: duration /
    predictions, or 1 / the largest rate that held its bound. At a fixed rate it is unknown, because
    1 / rate would only repeat the setting.

    Args:
        runs: Of load_runs, trainings and servings alike.
        quantity: time_s, energy_j or cost_usd.

    Returns:
        Under the runs' index: `training` (cost to the target) and `per_prediction`;
        `training_label` and `serving_label`, how joules were obtained and what money pays for;
        `rate_per_s`, a fixed rate, at which a prediction's energy includes the idle machine;
        `reason`, why the costs are unknown, empty if they are known.
    """
    trained_ids = column(runs, "trained.run_id").astype(object)
    # The training of each serving, row by row; all missing where it was not loaded.
    trained = runs.set_index("run_id").reindex(trained_ids).set_axis(runs.index)
    training = numbers(trained, TO_TARGET[quantity])
    total = numbers(trained, TO_TARGET[quantity].replace("target.", "recipe.total_"))
    has_recipe = column(trained, "recipe.name").notna()
    # A pruned or distilled model could not exist without the run that it builds on.
    training = training.where(~has_recipe, total)
    per_prediction = _per_prediction(runs, quantity)
    joules = column(trained, "recipe.total_energy_label").astype(object)
    joules = joules.where(has_recipe, column(trained, "energy_label").astype(object))
    served_joules = column(runs, "serving.energy_per_prediction_label").astype(object)
    return DataFrame(
        {
            "training": training,
            "per_prediction": per_prediction,
            "training_label": cost_labels(trained, joules, quantity),
            "serving_label": cost_labels(runs, served_joules, quantity),
            "rate_per_s": fixed_rates(runs),
            "reason": _reasons(runs, trained, training, per_prediction, quantity),
        }
    )


def fixed_rates(runs: DataFrame) -> Series:
    """The rate of queries if the configuration fixed it; missing if it was searched, or none."""
    is_fixed = column(runs, "serving.scenario").eq("server")
    is_fixed &= numbers(runs, "serving.max_rate_per_s").isna()
    return numbers(runs, "serving.rate_per_s").where(is_fixed)


def _per_prediction(runs: DataFrame, quantity: Quantity) -> Series:
    if quantity == "energy_j":
        return numbers(runs, "serving.energy_per_prediction_j")
    if quantity == "cost_usd":
        return numbers(runs, "serving.cost_per_million_usd") / 1e6
    mean_s = numbers(runs, "serving.duration_s") / numbers(runs, "serving.num_predictions")
    is_server = column(runs, "serving.scenario").eq("server")
    # With a bound on latency, the system could answer faster, but not in time.
    return mean_s.where(~is_server, 1 / numbers(runs, "serving.max_rate_per_s"))


def cost_labels(runs: DataFrame, joules: Series, quantity: Quantity) -> Series:
    """How joules were obtained; for money, what it pays for, and how its joules were obtained."""
    if quantity == "time_s":
        return Series("", index=runs.index, dtype=object)
    if quantity == "energy_j":
        return joules.fillna("")
    basis = column(runs, COST_BASIS).astype(object)
    metered = basis.str.contains(ELECTRICITY).eq(True) & joules.notna()
    return basis.where(~metered, basis + ", " + joules).fillna(joules).fillna("")


def _reasons(
    runs: DataFrame, trained: DataFrame, training: Series, each: Series, quantity: Quantity
) -> Series:
    """The first reason that applies; later ones follow from it."""
    num = numbers(runs, "serving.num_predictions").fillna(0)
    is_time = quantity == "time_s"
    reasons = {
        "its training is not among the runs": column(trained, "command").isna(),
        "the training missed its target or was not metered": training.isna(),
        "nothing was served": (num == 0) | numbers(runs, "serving.duration_s").isna(),
        # An invalid pass may not have had the load that its configuration names.
        "the pass was not valid": column(runs, "serving.valid").eq(False),
        "served at a rate that was asked for, not as fast as it can": fixed_rates(runs).notna()
        & is_time,
        "no rate held its bound": column(runs, "serving.scenario").eq("server")
        & ~(numbers(runs, "serving.max_rate_per_s") > 0)
        & is_time,
        _UNKNOWN[quantity]: each.isna(),
        "an impossible cost": (training >= MOST) | (each >= MOST),
    }
    conditions = [holds.to_numpy(dtype=bool) for holds in reasons.values()]
    return Series(np.select(conditions, list(reasons), ""), index=runs.index, dtype=object)


def total(model: Mapping[Any, Any], num_predictions: float) -> float:
    """The cost of training and of that many predictions.

    Args:
        model: With `training` and `per_prediction`.
        num_predictions: At least 0.
    """
    cost: float = model["training"] + num_predictions * model["per_prediction"]
    return cost


def break_even_predictions(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> float | None:
    """How many predictions pay for the model that costs more to train.

    Args:
        first: With `training`, `per_prediction` and ALIKE.
        second: Likewise.

    Returns:
        The number at which both have cost the same, 0 or more; None if one of them costs more (or
        no less) in both training and serving.

    Raises:
        ValueError: Their joules or money were obtained differently, or they served at different
            fixed rates.
    """
    for name in ALIKE:
        one, other = (None if pd.isna(each[name]) else each[name] for each in (first, second))
        if one != other:
            raise ValueError(f"{name}: {one} and {other} cannot be compared; measure both alike")
    # Lines of equal slope never cross.
    saved_each = first["per_prediction"] - second["per_prediction"]
    if saved_each == 0:
        return None
    num: float = (second["training"] - first["training"]) / saved_each
    return num if num >= 0 else None


def cheapest_in_turn(models: DataFrame) -> list[int]:
    """Find the models that are cheapest for some number of predictions, in that order.

    This is the lower envelope of the cost lines: the first model is the cheapest to train, and each
    next one is the first to overtake it. If joules were obtained in several ways, or there are
    several fixed rates, only models of the most common way and rate are compared.

    Args:
        models: A row for each, with `training`, `per_prediction` and ALIKE.

    Returns:
        Numbers of rows.
    """
    kinds = models.groupby(list(ALIKE), sort=False, dropna=False).indices.values()
    rows = models.to_dict("records")
    # The most common kind, so that most models are compared.
    pool = {int(place): rows[place] for place in max(kinds, key=len)}
    # Of models that cost the same to train, the one that is cheaper to serve.
    now = min(pool, key=lambda place: (pool[place]["training"], pool[place]["per_prediction"]))
    order = [now]
    while True:
        ahead = [
            (when, model["per_prediction"], place)
            for place, model in pool.items()
            if model["per_prediction"] < pool[now]["per_prediction"]
            and (when := break_even_predictions(pool[now], model)) is not None
        ]
        if not ahead:
            return order
        # The earliest crossing; of several at once, the flattest line, which stays below the
        # others.
        now = min(ahead)[2]
        order.append(now)
