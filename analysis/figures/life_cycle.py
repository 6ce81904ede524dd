"""What a model costs over its life against the number of predictions, with break-even points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame, Series, concat

from analysis.figures.costs import cost_bases, rate_words
from analysis.figures.prepare import NothingToDraw, serving_runs
from analysis.load.values import MOST, column
from analysis.stats.comparable import Group, groups, host_words, target_words
from analysis.stats.lifecycle import (
    LifeCycle,
    Quantity,
    break_even_predictions,
    life_cycles,
    unknown_reasons,
)
from bench.core.printable import printable
from bench.core.records.run import RunRecord
from bench.core.store import read_record

_POINT_COLUMNS = ["kind", "configuration", "against", "num_predictions", "cost"]
_FOLDER = "trained.folder"
_KEYS = ["configuration", "training_label", "serving_label", "rate_per_s"]


def compared(runs: DataFrame, *, quantity: Quantity = "energy_j") -> list[Group]:
    """Served runs in groups whose lives may be compared.

    Beside what servings have to have in common, their models were trained to one target on one kind
    of host, queries came as fast as they were answered or at one rate that was asked for, joules
    are of the same components, and money pays for the same.
    """
    runs = _with_folders(runs)
    more = {
        "trained to": _of_training(runs, "trained to " + target_words(runs)),
        "rate": rate_words(runs),
    }
    if quantity == "cost_usd":
        more["price"] = cost_bases(runs)
        more["price of training"] = _of_training(runs, "training: " + cost_bases(runs))
    if quantity != "time_s":
        parts = column(runs, "energy_components").astype(object).fillna("no joules")
        more["joules of training"] = _of_training(runs, "training: joules of " + parts)
        parts = column(runs, "serving.energy_components").astype(object).fillna("no components")
        more["joules of serving"] = "serving: joules of " + parts
    more["trained on"] = _of_training(runs, "trained on " + host_words(runs))
    return groups(runs, only=column(runs, "serving.scenario").notna(), more=more)


def _of_training(runs: DataFrame, words: Series) -> Series:
    """What the words say of the training behind each serving; empty where that is not there."""
    trained_id = column(runs, "trained.run_id").astype(object)
    return trained_id.map(_by_run(runs, words)).astype(object).fillna("")


def _with_folders(runs: DataFrame) -> DataFrame:
    """The same, with the folder of the training behind each serving, where that is among them."""
    if _FOLDER in runs:
        return runs
    folders = _by_run(runs, runs["folder"])
    return runs.assign(**{_FOLDER: column(runs, "trained.run_id").astype(object).map(folders)})


def _by_run(runs: DataFrame, words: Series) -> dict[str, str]:
    return dict(zip(runs["run_id"], words, strict=True))


def data_life_cycle(
    runs: DataFrame,
    *,
    quantity: Quantity = "energy_j",
    read: Callable[[Path], RunRecord] = read_record,
) -> DataFrame:
    """Cost of training and of a prediction, per configuration that was served.

    Args:
        runs: As loaded, or a group of `compared`.
        quantity: time_s, energy_j or cost_usd.
        read: The record of a run folder.

    Returns:
        Rows of two kinds. `kind` is `model`: `configuration`, `training` and `per_prediction`
        (medians over the pairs of runs, with `_low` and `_high`, their range), `num_runs`,
        `num_incomparable`, `training_label`, `serving_label`, `rate_per_s` (that was asked for),
        `cheapest` (for some number of predictions). `kind` is `break_even`: `configuration` (costs
        more to train), `against`, `num_predictions`, `cost`, of neighbours among the cheapest. All
        have `quantity`, `num_without` (served runs whose life is not known) and `reasons` (why, as
        text).

    Raises:
        NothingToDraw: The life of no model is known.
    """
    served = serving_runs(_with_folders(runs))
    lives, reasons = _lives_of(served, quantity, read)
    if not lives:
        told = _reason_words(reasons)
        raise NothingToDraw(
            f"of no model both the training to its target and its serving are known in {quantity}: "
            f"{told}"
        )
    models = _models(DataFrame(lives))
    if not (models["training"] + models["per_prediction"] > 0).all():
        raise NothingToDraw(f"a model costs nothing in {quantity}: there is nothing to compare")
    cheapest = cheapest_in_turn(_lives(models, quantity))
    models["cheapest"] = models.index.isin(cheapest)
    data = concat([models, _break_evens(models, cheapest, quantity)], ignore_index=True)
    return data.assign(
        quantity=quantity,
        num_without=len(served) - len(lives),
        reasons=_reason_words(reasons),
    )


def _lives_of(
    served: DataFrame, quantity: Quantity, read: Callable[[Path], RunRecord]
) -> tuple[list[dict[str, Any]], list[str]]:
    """What is known of each served run's model, and why of the others it is not."""
    read_once = cache(read)  # one training may have been served in many ways
    lives, reasons = [], []
    for row in served.to_dict("records"):
        if not isinstance(row[_FOLDER], str):
            reasons.append("its training is not among the runs")
            continue
        try:
            trained, own = read_once(Path(row[_FOLDER])), read(Path(row["folder"]))
            life = life_cycles(trained, own).get(quantity)
        except ValueError as error:  # a record that was damaged since it was loaded
            reasons.append(printable(error))
            continue
        if life is None:
            reasons.append(unknown_reasons(trained, own)[quantity])
            continue
        if not max(life.training, life.per_prediction) < MOST:
            reasons.append("a cost that cannot be")
            continue
        lives.append(
            {
                "configuration": row["configuration"],
                "comparable": row["comparable"],
                "training": life.training,
                "per_prediction": life.per_prediction,
                "training_label": life.training_label or "",
                "serving_label": life.serving_label or "",
                "rate_per_s": life.rate_per_s,
            }
        )
    return lives, reasons


def _reason_words(reasons: Sequence[str]) -> str:
    return "; ".join(f"{reason} ({num})" for reason, num in Counter(reasons).items())


def _models(pairs: DataFrame) -> DataFrame:
    alike = pairs.astype({"rate_per_s": "float64"}).groupby(_KEYS, sort=True, dropna=False)
    models = alike[["training", "per_prediction"]].median()
    for name in ("training", "per_prediction"):
        models[f"{name}_low"], models[f"{name}_high"] = alike[name].min(), alike[name].max()
    models["num_runs"] = alike.size()
    models["num_incomparable"] = alike["comparable"].apply(lambda part: int((~part).sum()))
    return models.reset_index().assign(kind="model")


def _lives(models: DataFrame, quantity: Quantity) -> list[LifeCycle]:
    return [
        LifeCycle(
            quantity=quantity,
            training=row["training"],
            per_prediction=row["per_prediction"],
            training_label=row["training_label"] or None,
            serving_label=row["serving_label"] or None,
            rate_per_s=None if np.isnan(row["rate_per_s"]) else row["rate_per_s"],
        )
        for row in models.to_dict("records")
    ]


def cheapest_in_turn(lives: Sequence[LifeCycle]) -> list[int]:
    """Places of the models that are cheapest for some number of predictions, in that order.

    From the one that is cheapest to train, each next is the one that overtakes first: the lower
    envelope of the lines. Where joules were obtained in several ways, or predictions asked for at
    several rates, only those of the most common way and rate are compared.
    """
    labels = [(life.training_label, life.serving_label, life.rate_per_s) for life in lives]
    common = max(labels, key=labels.count)
    pool = [place for place, label in enumerate(labels) if label == common]
    now = min(pool, key=lambda place: (lives[place].training, lives[place].per_prediction))
    order = [now]
    while True:
        ahead = [
            (when, lives[place].per_prediction, place)
            for place in pool
            if lives[place].per_prediction < lives[now].per_prediction
            and (when := break_even_predictions(lives[now], lives[place])) is not None
        ]
        if not ahead:
            return order
        now = min(ahead)[2]
        order.append(now)


def _break_evens(models: DataFrame, order: Sequence[int], quantity: Quantity) -> DataFrame:
    lives = _lives(models, quantity)
    rows = []
    for before, after in pairwise(order):
        num = break_even_predictions(lives[before], lives[after])
        assert num is not None, "neighbours of an envelope cross"
        rows.append(
            {
                "kind": "break_even",
                "configuration": models["configuration"][after],
                "against": models["configuration"][before],
                "num_predictions": num,
                "cost": lives[after].total(num),
            }
        )
    return DataFrame(rows, columns=_POINT_COLUMNS)
