"""How runs and medians are drawn, and the words that explain their marks and bars.

A run is filled if it is comparable and hollow if not; it is ^ if it missed and x if it failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.path import Path
from pandas import DataFrame, Series

from analysis.figures.axes import many
from analysis.figures.style import GREY, INK
from bench.core.stats.intervals import CONFIDENCE, MIN_RUNS, median

_OUTCOMES = {"reached": "o", "missed": "^", "failed": "x"}
MARK_NOTE = "Runs that missed or failed are drawn at what they spent; hollow: not comparable."
_INTERVAL = f"{CONFIDENCE:.0%} interval of the median"
_RANGE = "range of the runs"


def draw_runs(
    axes: Axes, rows: DataFrame, x: str, y: str, *, colour: Any, marker: str = "o"
) -> None:
    """Draw points of runs that show their outcome and whether they are comparable.

    Args:
        axes: Axes to draw on.
        rows: With x, y, `outcome` and `comparable`.
        x: Column of the horizontal place.
        y: Column of the height.
        colour: Of the points.
        marker: Of the runs that reached their target.
    """
    for (outcome, comparable), part in rows.groupby(["outcome", "comparable"], sort=False):
        shape = marker if outcome == "reached" else _OUTCOMES[str(outcome)]
        face = {"facecolors": colour if comparable else "white", "edgecolors": colour}
        if shape == "x":  # has lines only, no face
            face = {"color": colour}
        axes.scatter(
            part[x],
            part[y],
            s=12,
            marker=shape,
            linewidths=0.8,
            zorder=3,
            rasterized=many(len(rows)),
            **face,
        )


def draw_points(
    axes: Axes,
    x: Series,
    y: Series,
    filled: Series,
    colour: Any,
    *,
    size: float | Series,
    **style: Any,
) -> None:
    """Draw points, filled or hollow.

    Args:
        axes: Axes to draw on.
        x: Horizontal places.
        y: Heights.
        filled: Which points are filled.
        colour: Of the points.
        size: Areas in points squared.
        style: Overrides the default style of the points.
    """
    filled = filled.astype(bool)
    for part, face in ((filled, colour), (~filled, "white")):
        if not part.any():  # drawing nothing takes milliseconds, too
            continue
        areas = size[part] if isinstance(size, Series) else size
        look = {"edgecolors": colour, "linewidths": 0.8, "zorder": 3, **style}
        axes.scatter(x[part], y[part], s=areas, facecolors=face, **look)


def draw_bars(axes: Axes, rows: DataFrame, x: str, y: str, **style: Any) -> None:
    """Draw bars for the bounds of points along both axes; without an upper bound to the point."""
    for name, other, lines in ((x, y, axes.hlines), (y, x, axes.vlines)):
        low, high = rows[f"{name}_low"], rows[f"{name}_high"].fillna(rows[name])
        lines(rows[other], low, high, **style)


def write_beside(
    axes: Axes, text: str, place: tuple[Any, Any], offset: tuple[float, float], **style: Any
) -> None:
    """Write a few words next to a point, at an offset in points."""
    axes.annotate(text, place, xytext=offset, textcoords="offset points", **style)


def draw_band(
    axes: Axes, x: Any, low: Any, high: Any, colour: Any, *, alpha: float = 0.18, **style: Any
) -> None:
    """Draw a band around a line, in the line's colour."""
    axes.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0, **style)


def dot(label: str, colour: Any = INK, *, marker: str | Path = "o", face: Any = None) -> Line2D:
    """Make the legend entry of a mark, filled with `face` or, by default, with the colour."""
    face = colour if face is None else face
    return Line2D(
        [], [], linestyle="", marker=marker, color=colour, markerfacecolor=face, label=label
    )


def grey_handles(data: DataFrame, num_named: int) -> list[Line2D]:
    """Make a legend entry for the configurations without a name, if there are any."""
    num = int(data["num_configurations"].iloc[0]) - num_named
    return [Line2D([], [], color=GREY, label=f"{num} other configurations")] if num > 0 else []


def best_words(data: DataFrame, num_named: int) -> str:
    """Say which configurations of a line chart are in colour; empty if all are."""
    num = int(data["num_configurations"].iloc[0])
    if num <= num_named:
        return ""
    order = "by the share of runs that hit, then by their median time"
    return f"In colour: the best {num_named} of {num} configurations, {order}."


def mark_handles(rows: DataFrame) -> list[Line2D]:
    """Make legend entries for the marks that occur among these runs."""
    handles = []
    outcomes: Series = rows["outcome"] if "outcome" in rows else Series(dtype=object)
    for outcome in ("missed", "failed"):
        num = int((outcomes == outcome).sum())
        if num:
            handles.append(dot(f"{outcome} ({num})", marker=_OUTCOMES[outcome]))
    return handles + incomparable_handles(rows)


def incomparable_handles(rows: DataFrame) -> list[Line2D]:
    """Make a legend entry for incomparable runs, if there are any."""
    num = int((~rows["comparable"].astype(bool)).sum())
    return [dot(f"incomparable ({num})", face="white")] if num else []


def bars_words(numbers: Sequence[int] | Series) -> str:
    """Say what the bars are, after a semicolon; empty if all are single runs without bars."""
    several = [number for number in numbers if number > 1]
    return f"; bars: {bounds_words(several)}" if several else ""


def n_words(numbers: Sequence[int] | Series) -> str:
    """Say how many runs are behind each point: `n = 3`, or `n = 2 to 5`."""
    return f"n = {range_words(numbers)}"


def range_words(numbers: Sequence[int] | Series) -> str:
    """The smallest and the largest of some numbers: `2 to 5`, or `3` if they are equal."""
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


def bounds_words(numbers: Sequence[int] | Series) -> str:
    """Say what the bounds of medians are.

    Args:
        numbers: Numbers of runs behind each median, at least one.
    """
    if min(numbers) >= MIN_RUNS:
        return _INTERVAL
    if max(numbers) < MIN_RUNS:
        return _RANGE
    return f"{_INTERVAL}, {_RANGE} below {MIN_RUNS}"


def medians(runs: DataFrame, by: Sequence[str], value: str) -> DataFrame:
    """Compute the median by some keys with its bounds; a bound counts as infinite.

    Args:
        runs: With the columns of `by`, the value (known unless it is a bound), `bound` and
            `comparable`.
        by: The keys.
        value: The column.

    Returns:
        A row for each key: `value`, `low`, `high` (an interval, or the range of fewer than six
        runs, as bench.core.stats.intervals.median gives it; missing if infinite, and the last two
        also for a single run), `num_runs`, `num_reached`, `num_incomparable`.
    """
    # What a run spent without reaching its target says only that more was needed.
    values = np.where(runs["bound"], np.inf, runs[value].astype(float))
    incomparable = ~runs["comparable"].to_numpy(dtype=bool)
    rows = []
    for key, places in runs.groupby(list(by), sort=True).indices.items():
        part = values[places]
        estimate = median(part)
        names = key if isinstance(key, tuple) else (key,)
        rows.append(
            {
                **dict(zip(by, names, strict=True)),
                value: estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "num_runs": len(part),
                "num_reached": int(np.isfinite(part).sum()),
                "num_incomparable": int(incomparable[places].sum()),
            }
        )
    # Missing numbers are None, which would make a column of type object.
    numbers = [value, "low", "high"]
    return DataFrame(rows).astype(dict.fromkeys(numbers, "float64"))


def paired_medians(runs: DataFrame, x: str, y: str) -> DataFrame:
    """Compute the medians of two quantities of each configuration, with their bounds.

    Args:
        runs: With both quantities, their `_bound` columns, `configuration` and `comparable`. Each
            median is over the runs that have the quantity, or a bound of it.
        x: Column of the first quantity.
        y: Column of the second.

    Returns:
        By configuration: both quantities with `_low` and `_high`, and the counts of `medians` for
        the runs that have x.
    """
    parts = []
    for name in (x, y):
        known = runs[runs[name].notna() | runs[f"{name}_bound"]]
        part = medians(known.assign(bound=known[f"{name}_bound"]), ["configuration"], name)
        ends = {"low": f"{name}_low", "high": f"{name}_high"}
        parts.append(part.set_index("configuration").rename(columns=ends))
    return parts[0].join(parts[1][[y, f"{y}_low", f"{y}_high"]])
