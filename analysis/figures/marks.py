"""How a run is marked: filled if it is fit, hollow if not, ^ if it missed and x if it failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, Series

from analysis.figures.axes import many
from analysis.figures.spread import bounds_words
from analysis.figures.style import INK

_OUTCOMES = {"reached": "o", "missed": "^", "failed": "x"}
MARK_NOTE = "Missed and failed runs stand at what they spent in vain; hollow: unfit to compare."


def draw_runs(
    axes: Axes, rows: DataFrame, x: str, y: str, *, colour: Any, marker: str = "o", size: float = 12
) -> None:
    """Points of runs, each marked for its outcome and fitness.

    Args:
        axes: Where.
        rows: With x, y, `outcome` and `fit`.
        x: Column of the place from left to right.
        y: Column of the height.
        colour: Of the points.
        marker: Of the runs that reached their target.
        size: Area of a point, in points squared.
    """
    for (outcome, fit), part in rows.groupby(["outcome", "fit"], sort=False):
        shape = marker if outcome == "reached" else _OUTCOMES[str(outcome)]
        face = (
            {"color": colour}
            if shape == "x"
            else {
                "facecolors": colour if fit else "white",
                "edgecolors": colour,
            }
        )
        axes.scatter(
            part[x],
            part[y],
            s=size,
            marker=shape,
            linewidths=0.8,
            zorder=3,
            rasterized=many(len(rows)),
            **face,
        )


def mark_handles(rows: DataFrame) -> list[Line2D]:
    """Legend entries of the marks that occur among these runs, and of no others."""
    handles = []
    outcomes: Series = rows["outcome"] if "outcome" in rows else Series(dtype=object)
    for outcome in ("missed", "failed"):
        num = int((outcomes == outcome).sum())
        if num:
            handles.append(_handle(_OUTCOMES[outcome], f"{outcome} ({num})", face=INK))
    num_unfit = int((~rows["fit"].astype(bool)).sum())
    if num_unfit:
        handles.append(_handle("o", f"unfit ({num_unfit})", face="white"))
    return handles


def _handle(marker: str, label: str, *, face: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=INK, markerfacecolor=face, label=label)


def bars_words(numbers: Sequence[int] | Series) -> str:
    """What the bars are, with a semicolon before; nothing where single runs have none."""
    several = [number for number in numbers if number > 1]
    return f"; bars: {bounds_words(several)}" if several else ""


def n_words(numbers: Sequence[int] | Series) -> str:
    """How many runs stand behind each point: `n = 3`, or `n = 2 to 5`."""
    low, high = min(numbers), max(numbers)
    return f"n = {low}" if low == high else f"n = {low} to {high}"
