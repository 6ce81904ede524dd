"""What a model costs over its life against the number of predictions, with break-even points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame, concat

from analysis.figures.axes import (
    NothingToDraw,
    canvas,
    in_paper_style,
    legend_below,
    log_axis,
    note,
    wrapped,
)
from analysis.figures.names import short_names
from analysis.figures.prepare import HIGHLIGHTED, column, evenly, serving_runs
from analysis.outcomes import Floats
from analysis.style import COLOURS, GREY, INK, LINES, Width, short_number
from bench.core.lifecycle import LifeCycle, Quantity, break_even_predictions, life_cycles
from bench.core.records import RunRecord
from bench.core.store import read_record

_LABELS = {
    "time_s": "time over the life (s)",
    "energy_j": "energy over the life (J, {label})",
    "cost_usd": "cost over the life (US$, {label})",
}
_OTHERS = 40
_POINT_COLUMNS = ["kind", "configuration", "against", "num_predictions", "cost"]
_KEYS = ["configuration", "training_label", "serving_label"]


def data_life_cycle(
    runs: DataFrame,
    *,
    quantity: Quantity = "energy_j",
    read: Callable[[Path], RunRecord] = read_record,
) -> DataFrame:
    """Cost of training and of a prediction, per configuration that was served.

    Args:
        runs: As loaded: runs of bench.serve, and the trainings that they served.
        quantity: time_s, energy_j or cost_usd.
        read: The record of a run folder.

    Returns:
        Rows of two kinds. `kind` is `model`: `configuration`, `training` and `per_prediction`
        (medians over the pairs of runs, with `_low` and `_high`, their range), `num_runs`,
        `num_unfit`, `training_label`, `serving_label`, `cheapest` (for some number of
        predictions). `kind` is `break_even`: `configuration` (dearer to train), `against`,
        `num_predictions`, `cost`, of neighbours among the cheapest. All have `quantity` and
        `num_without`: served runs whose life is not known (their training is not among the runs,
        missed its target, or was not measured).

    Raises:
        NothingToDraw: The life of no model is known.
    """
    served = serving_runs(runs)
    folders = dict(zip(runs["run_id"], runs["folder"], strict=True))
    read_once = cache(read)  # one training may have been served in many ways
    rows = []
    for row in served.assign(trained=column(served, "trained.run_id")).to_dict("records"):
        if row["trained"] not in folders:
            continue
        trained = read_once(Path(folders[row["trained"]]))
        life = life_cycles(trained, read(Path(row["folder"]))).get(quantity)
        if life is None:
            continue
        rows.append(
            {
                "configuration": row["configuration"],
                "fit": row["fit"],
                "training": life.training,
                "per_prediction": life.per_prediction,
                "training_label": life.training_label or "",
                "serving_label": life.serving_label or "",
            }
        )
    if not rows:
        raise NothingToDraw(
            f"of no model both the training to its target and its serving are known in {quantity}"
        )
    models = _models(DataFrame(rows))
    cheapest = cheapest_in_turn(_lives(models, quantity))
    models["cheapest"] = models.index.isin(cheapest)
    data = concat([models, _break_evens(models, cheapest, quantity)], ignore_index=True)
    return data.assign(quantity=quantity, num_without=len(served) - len(rows))


def _models(pairs: DataFrame) -> DataFrame:
    groups = pairs.groupby(_KEYS, sort=True)
    models = groups[["training", "per_prediction"]].median()
    for name in ("training", "per_prediction"):
        models[f"{name}_low"], models[f"{name}_high"] = groups[name].min(), groups[name].max()
    models["num_runs"] = groups.size()
    models["num_unfit"] = groups["fit"].apply(lambda part: int((~part).sum()))
    return models.reset_index().assign(kind="model")


def _lives(models: DataFrame, quantity: Quantity) -> list[LifeCycle]:
    return [
        LifeCycle(
            quantity=quantity,
            training=row["training"],
            per_prediction=row["per_prediction"],
            training_label=row["training_label"] or None,
            serving_label=row["serving_label"] or None,
        )
        for row in models.to_dict("records")
    ]


def cheapest_in_turn(lives: Sequence[LifeCycle]) -> list[int]:
    """Places of the models that are cheapest for some number of predictions, in that order.

    From the one that is cheapest to train, each next is the one that overtakes first: the lower
    envelope of the lines. Where joules were obtained in several ways, only those obtained as the
    most common way are compared.
    """
    labels = [(life.training_label, life.serving_label) for life in lives]
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


@in_paper_style
def draw_life_cycle(data: DataFrame, *, width: Width = "one") -> Figure:
    """Draw what `data_life_cycle` gives."""
    quantity = str(data["quantity"].iloc[0])
    models, points = data[data["kind"] == "model"], data[data["kind"] == "break_even"]
    best = models[models["cheapest"].astype(bool)].sort_values("training")
    places = _named(models, list(best.index))
    others = evenly([place for place in models.index if place not in places], _OTHERS)
    figure, (axes,) = canvas(width, 2.3 if width == "one" else 3.0)
    reach = points["num_predictions"].max() if len(points) else np.nan
    worth = (models["training"] / models["per_prediction"]).median()
    last = max(10.0, 10 * np.nanmax([reach, worth]))
    num = np.geomspace(1, last, 200)
    for place in others:
        row = models.loc[place]
        axes.plot(num, row["training"] + num * row["per_prediction"], color=GREY, linewidth=0.6)
    names, common = short_names(models.loc[places, "configuration"])
    handles = [
        _draw_model(axes, row, names, num, n, width)
        for n, row in enumerate(models.loc[places].to_dict("records"))
    ]
    if len(models) > len(places):
        label = f"{len(models) - len(places)} others"
        handles.append(Line2D([], [], color=GREY, label=label))
    _draw_points(axes, points)
    log_axis(axes, "x")
    log_axis(axes, "y")
    axes.set_xlabel("number of predictions")
    axes.set_ylabel(_LABELS[quantity].format(label=_how(models)))
    legend_below(figure, handles, width)
    note(figure, f"{_words(data, models, points)} {common}".strip(), width)
    return figure


def _named(models: DataFrame, cheapest: list[int]) -> list[int]:
    """Models that are told apart: the cheapest, and those that come next where there is room."""
    chosen = evenly(cheapest, HIGHLIGHTED)
    worth = float((models["training"] / models["per_prediction"]).median())
    total = (models["training"] + worth * models["per_prediction"]).sort_values()
    rest = [place for place in total.index if place not in cheapest]
    return chosen + rest[: HIGHLIGHTED - len(chosen)]


def _how(models: DataFrame) -> str:
    labels = {*models["training_label"], *models["serving_label"]} - {"", None}
    return ", ".join(sorted(str(label) for label in labels)) or "no label"


def _draw_model(
    axes: Axes, row: dict[Any, Any], names: dict[str, str], num: Floats, place: int, width: Width
) -> Line2D:
    middle, low, high = (
        row[f"training{suffix}"] + num * row[f"per_prediction{suffix}"]
        for suffix in ("", "_low", "_high")
    )
    colour = COLOURS[place]
    axes.fill_between(num, low, high, color=colour, alpha=0.18, linewidth=0)
    unfit = f", {row['num_unfit']:.0f} unfit" if row["num_unfit"] else ""
    text = f"{names[row['configuration']]}  n = {row['num_runs']:.0f}{unfit}"
    label = wrapped(text, 56 if width == "one" else 110)
    (line,) = axes.plot(num, middle, color=colour, linestyle=LINES[place], label=label)
    return line


def _draw_points(axes: Axes, points: DataFrame) -> None:
    axes.scatter(
        points["num_predictions"],
        points["cost"],
        s=18,
        marker="o",
        facecolors="white",
        edgecolors=INK,
        linewidths=0.9,
        zorder=4,
    )
    for row in points.to_dict("records"):
        axes.annotate(
            f"n = {short_number(row['num_predictions'])}",
            (row["num_predictions"], row["cost"]),
            xytext=(4, -8),
            textcoords="offset points",
            fontsize=6.5,
            color=INK,
        )


def _words(data: DataFrame, models: DataFrame, points: DataFrame) -> str:
    words = "Line: medians of training and of a prediction; band: their range over n runs."
    if len(points):
        words += " Circle: break-even, from where on the next is cheaper."
    if models["training_label"].nunique() > 1 or models["serving_label"].nunique() > 1:
        words += " Joules were obtained in several ways; break-even only among the most common."
    num = int(data["num_without"].iloc[0])
    return words + (f" Of {num} served runs the life is not known." if num else "")


def figure_life_cycle(
    runs: DataFrame, *, quantity: Quantity = "energy_j", width: Width = "one"
) -> Figure:
    """Cost over the life of the models that were served, with break-even points.

    Raises:
        NothingToDraw: The life of no model is known.
    """
    return draw_life_cycle(data_life_cycle(runs, quantity=quantity), width=width)
