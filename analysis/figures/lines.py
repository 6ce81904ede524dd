"""Lines of configurations: the best in colour and in the legend, the others in grey."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from analysis.figures.axes import legend_name
from analysis.figures.looks import looks
from analysis.figures.marks import best_words, grey_handles
from analysis.figures.prepare import counted_name
from analysis.figures.style import GREY, Width, short_names


def draw_grey(axes: Axes, data: DataFrame, x: str, y: str, **style: Any) -> None:
    """Draw the configurations that are not among the best."""
    for _, rows in data[data["shown"] == "grey"].groupby("configuration", sort=False):
        look = style | _mark(rows)
        axes.plot(rows[x], rows[y], color=GREY, linewidth=0.6, zorder=1, **look)


def _mark(rows: DataFrame) -> dict[str, Any]:
    """A line through one place alone would not be visible."""
    return {"marker": "o", "markersize": 3.5} if len(rows) == 1 else {}


def draw_lines(
    axes: Axes,
    data: DataFrame,
    x: str,
    y: str,
    width: Width,
    *,
    draw_more: Callable[[DataFrame, str], None] | None = None,
) -> tuple[list[Line2D], str]:
    """Draw a line for each configuration, in steps: a value holds until the next.

    Args:
        axes: Axes to draw on.
        data: With x, y, `configuration`, `shown` (`line` or `grey`), `num_runs`, `num_reached`,
            `num_incomparable` and `num_configurations`.
        x: Column of the places from left to right.
        y: Column of the heights.
        width: Of the figure.
        draw_more: Function of the rows and the colour of each of the best, called before its line
            is drawn.

    Returns:
        Legend entries, and sentences: which are in colour, and what all names have in common.
    """
    draw_grey(axes, data, x, y, drawstyle="steps-post")
    names, common = short_names(data["configuration"])
    handles = []
    best = data[data["shown"] == "line"].groupby("configuration", sort=False)
    shown = looks(name for name, _ in best)
    for name, rows in best:
        look = shown[str(name)]
        if draw_more is not None:
            draw_more(rows, look.colour)
        first = rows.iloc[0]
        numbers = (first["num_runs"], first["num_reached"], first["num_incomparable"])
        label = legend_name(counted_name(names[str(name)], *numbers), width)
        style = {"color": look.colour, "linestyle": look.line} | _mark(rows)
        handles += axes.plot(rows[x], rows[y], label=label, drawstyle="steps-post", **style)
    words = f"{best_words(data, len(handles))} {common}"
    return [*handles, *grey_handles(data, len(handles))], words.strip()
