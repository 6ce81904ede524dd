"""Draws the cost of models over their lives, with the points where one overtakes another."""

from __future__ import annotations

from pandas import DataFrame

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style
from analysis.figures.cost_lines import Terms, draw_cost_lines, worth_of
from analysis.figures.style import Width
from bench.core.scales import COUNT

_LABELS = {
    "time_s": "time over the life (s)",
    "energy_j": "energy over the life\n(J: {label})",
    "cost_usd": "cost over the life\n(USD: {label})",
}
_TERMS = Terms(
    fixed="training",
    each="per_prediction",
    crossing="num_predictions",
    crossing_text="n = {}",
    crossing_scale=COUNT,
)


@in_paper_style
def draw_life_cycle(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_life_cycle` gives."""
    quantity = str(data["quantity"].iloc[0])
    models, points = data[data["kind"] == "model"], data[data["kind"] == "break_even"]
    figure, (axes,) = canvas(width)
    # Ten times beyond every break-even, where the model that is cheapest in the long run is clearly
    # below the others.
    last = 10 * max(1.0, worth_of(models, _TERMS), *points["num_predictions"])
    handles, common = draw_cost_lines(axes, models, points, _TERMS, span=(1.0, last), width=width)
    axes.set_xlabel("number of predictions")
    axes.set_ylabel(_LABELS[quantity].format(label=_label_words(models)))
    return finished(figure, handles, f"{_words(data, models, points)} {common}", width)


def _label_words(models: DataFrame) -> str:
    """How joules were obtained and what money pays for, in training and serving together."""
    labels = {*models["training_label"], *models["serving_label"]} - {"", None}
    # A label may consist of several parts, such as `electricity, modelled`.
    parts = {part for label in labels if isinstance(label, str) for part in label.split(", ")}
    return ", ".join(sorted(parts)) or "no label"


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
