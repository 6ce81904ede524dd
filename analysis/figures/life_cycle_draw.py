"""Draws the cost of models over their lives, with the points where one overtakes another."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, legend_name, log_axis
from analysis.figures.marks import draw_band, write_beside
from analysis.figures.prepare import HIGHLIGHTED, evenly
from analysis.figures.style import COLOURS, GREY, INK, LINES, Width, short_names, short_number
from bench.core.arrays import Floats

_LABELS = {
    "time_s": "time over the life (s)",
    "energy_j": "energy over the life\n(J: {label})",
    "cost_usd": "cost over the life\n(USD: {label})",
}
# More grey lines would only be a blot.
_OTHERS = 40


@in_paper_style
def draw_life_cycle(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_life_cycle` gives."""
    quantity = str(data["quantity"].iloc[0])
    models, points = data[data["kind"] == "model"], data[data["kind"] == "break_even"]
    best = models[models["cheapest"].astype(bool)].sort_values("training")
    places = _named(models, list(best.index))
    others = evenly([place for place in models.index if place not in places], _OTHERS)
    figure, (axes,) = canvas(width)
    # Show every break-even, and the point where predictions have cost as much as training.
    reach = points["num_predictions"].max() if len(points) else np.nan
    # Ten times further, where the model that is cheapest in the long run is clearly below.
    last = max(10.0, 10 * np.nanmax([reach, _training_worth(models)]))
    num = np.geomspace(1, last, 200)
    for place in others:
        row = models.loc[place]
        axes.plot(num, row["training"] + num * row["per_prediction"], color=GREY, linewidth=0.6)
    names, common = short_names(models.loc[[*places, *others], "configuration"])
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
    axes.set_ylabel(_LABELS[quantity].format(label=_label_words(models)))
    return finished(figure, handles, f"{_words(data, models, points)} {common}", width)


def _training_worth(models: DataFrame) -> float:
    """The median number of predictions that cost as much as the training; 1 if all are free."""
    ratios = models["training"] / models["per_prediction"].where(models["per_prediction"] > 0)
    return 1.0 if ratios.isna().all() else float(ratios.median())


def _named(models: DataFrame, cheapest: list[int]) -> list[int]:
    """Models with a name in the legend: the cheapest, and the next cheapest if there is room."""
    chosen = evenly(cheapest, HIGHLIGHTED)
    total = (models["training"] + _training_worth(models) * models["per_prediction"]).sort_values()
    rest = [place for place in total.index if place not in cheapest]
    return chosen + rest[: HIGHLIGHTED - len(chosen)]


def _label_words(models: DataFrame) -> str:
    """How joules were obtained and what money pays for, in training and serving together."""
    labels = {*models["training_label"], *models["serving_label"]} - {"", None}
    # A label may consist of several parts, such as `electricity, modelled`.
    parts = {part for label in labels if isinstance(label, str) for part in label.split(", ")}
    return ", ".join(sorted(parts)) or "no label"


def _draw_model(
    axes: Axes, row: dict[Any, Any], names: dict[str, str], num: Floats, place: int, width: Width
) -> Line2D:
    middle, low, high = (
        row[f"training{suffix}"] + num * row[f"per_prediction{suffix}"]
        for suffix in ("", "_low", "_high")
    )
    colour = COLOURS[place]
    draw_band(axes, num, low, high, colour)
    incomparable = (
        f", {row['num_incomparable']:.0f} incomparable" if row["num_incomparable"] else ""
    )
    text = f"{names[row['configuration']]}  n = {row['num_runs']:.0f}{incomparable}"
    label = legend_name(text, width)
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
        text = f"n = {short_number(row['num_predictions'])}"
        place = (row["num_predictions"], row["cost"])
        write_beside(axes, text, place, (4, -8), fontsize=6.5, color=INK)


def _words(data: DataFrame, models: DataFrame, points: DataFrame) -> str:
    words = "Line: medians of training and of a prediction; band: their range over n runs."
    if len(points):
        words += " Circle: break-even, beyond which the next model is cheaper."
    if models["training_label"].nunique() > 1 or models["serving_label"].nunique() > 1:
        words += " Joules were obtained in several ways; break-even only for the most common one."
    if models["rate_per_s"].notna().any():
        words += " The cost of a prediction is at a fixed rate, and includes the idle machine."
    num, reasons = int(data["num_without"].iloc[0]), data["reasons"].iloc[0]
    return words + (f" Left out: {num} served runs of unknown cost: {reasons}." if num else "")
