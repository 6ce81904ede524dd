"""Lines of costs that grow with a number, and the circles where another line becomes the lowest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from analysis.figures.axes import legend_name, log_axis
from analysis.figures.axis_units import short_quantity
from analysis.figures.looks import Look, looks
from analysis.figures.marks import draw_band, write_beside
from analysis.figures.prepare import HIGHLIGHTED, evenly
from analysis.figures.style import GREY, INK, SMALL_PT, Width, short_names
from bench.core.arrays import Floats
from bench.core.scales import Scale

# More grey lines would only be a blot.
_OTHERS = 40
_APART = 0.08  # of the axis, that two texts need between them


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Columns of the two terms of a cost: fixed + number x each.

    Attributes:
        fixed: What is paid once; also `_low` and `_high`.
        each: What is paid for each, likewise.
        crossing: Column with the number at which the next line is lower, in the rows of crossings.
        crossing_text: What stands beside it, with `{}` for the number.
        crossing_scale: Units of the number.
    """

    fixed: str
    each: str
    crossing: str
    crossing_text: str
    crossing_scale: Scale


def draw_cost_lines(
    axes: Axes,
    lines: DataFrame,
    crossings: DataFrame,
    terms: Terms,
    *,
    span: tuple[float, float],
    width: Width,
    is_relative: bool = False,
) -> tuple[list[Line2D], str]:
    """Draw a line for each row, on logarithmic axes.

    Args:
        axes: Axes to draw on.
        lines: With `configuration`, the terms, `cheapest` (for some number), `num_runs` and
            `num_incomparable`.
        crossings: With terms.crossing and `cost`.
        terms: Names of the columns.
        span: The smallest and the largest number.
        width: Of the figure.
        is_relative: Whether to draw how many times the lowest line each is.

    Returns:
        Legend entries, and sentences: which are in colour, and what all names have in common.
    """
    best = lines[lines["cheapest"].astype(bool)].sort_values(terms.fixed)
    worth = worth_of(lines, terms)
    places = _named(lines, list(best.index), terms, worth)
    others = evenly([place for place in lines.index if place not in places], _OTHERS)
    num = np.geomspace(*span, 200)
    unit = lowest(lines, terms, num) if is_relative else np.ones_like(num)
    for place in others:
        row = lines.loc[place]
        total = row[terms.fixed] + num * row[terms.each]
        axes.plot(num, total / unit, color=GREY, linewidth=0.6)
    names, common = short_names(lines.loc[[*places, *others], "configuration"])
    shown = looks(lines.loc[places, "configuration"])
    handles = [
        _draw_line(axes, row, terms, names, num, unit, shown[row["configuration"]], width)
        for row in lines.loc[places].to_dict("records")
    ]
    if len(lines) > len(places):
        which = "the cheapest at some number, and then the next"
        common = f"In colour: {len(places)} of {len(lines)}: {which}. {common}".strip()
        label = f"{len(lines) - len(places)} others"
        handles.append(Line2D([], [], color=GREY, label=label))
    log_axis(axes, "x")
    log_axis(axes, "y")
    if not is_relative:
        _draw_crossings(axes, crossings, terms)
    return handles, common


def lowest(lines: DataFrame, terms: Terms, num: Floats) -> Floats:
    """The smallest cost at each number, shape (n,)."""
    fixed, each = (lines[name].to_numpy(float)[:, None] for name in (terms.fixed, terms.each))
    least: Floats = (fixed + num * each).min(axis=0)
    return least


def worth_of(lines: DataFrame, terms: Terms) -> float:
    """The median number at which both terms are equal; 1 if all are free."""
    ratios = lines[terms.fixed] / lines[terms.each].where(lines[terms.each] > 0)
    return 1.0 if ratios.isna().all() else float(ratios.median())


def _named(lines: DataFrame, cheapest: Sequence[int], terms: Terms, worth: float) -> list[int]:
    """Lines with a name in the legend: the cheapest, and the next cheapest if there is room."""
    chosen = evenly(list(cheapest), HIGHLIGHTED)
    total = (lines[terms.fixed] + worth * lines[terms.each]).sort_values()
    rest = [place for place in total.index if place not in cheapest]
    return chosen + rest[: HIGHLIGHTED - len(chosen)]


def _draw_line(
    axes: Axes,
    row: dict[Any, Any],
    terms: Terms,
    names: dict[str, str],
    num: Floats,
    unit: Floats,
    look: Look,
    width: Width,
) -> Line2D:
    middle, low, high = (
        (row[f"{terms.fixed}{suffix}"] + num * row[f"{terms.each}{suffix}"]) / unit
        for suffix in ("", "_low", "_high")
    )
    colour = look.colour
    draw_band(axes, num, low, high, colour)
    incomparable = (
        f", {row['num_incomparable']:.0f} incomparable" if row["num_incomparable"] else ""
    )
    text = f"{names[row['configuration']]}  n = {row['num_runs']:.0f}{incomparable}"
    label = legend_name(text, width)
    (line,) = axes.plot(num, middle, color=colour, linestyle=look.line, label=label)
    return line


def _draw_crossings(axes: Axes, crossings: DataFrame, terms: Terms) -> None:
    axes.scatter(
        crossings[terms.crossing],
        crossings["cost"],
        s=18,
        marker="o",
        facecolors="white",
        edgecolors=INK,
        linewidths=0.9,
        zorder=4,
    )
    least = _APART * np.ptp(np.log(axes.get_xlim())) if len(crossings) else 0.0
    last = -np.inf
    for row in crossings.sort_values(terms.crossing).to_dict("records"):
        # A text over another one says nothing.
        if np.log(row[terms.crossing]) < last + least:
            continue
        last = np.log(row[terms.crossing])
        text = terms.crossing_text.format(short_quantity(row[terms.crossing], terms.crossing_scale))
        place = (row[terms.crossing], row["cost"])
        write_beside(axes, text, place, (4, -8), fontsize=SMALL_PT, color=INK)
