"""How a run is marked: filled if it is fit, hollow if not, ^ if it missed and x if it failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, Series

from analysis.figures.axes import many
from analysis.figures.style import INK
from bench.core.stats.intervals import CONFIDENCE, MIN_RUNS, median

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


_INTERVAL = f"{CONFIDENCE:.0%} interval of the median"
_RANGE = "range of the runs"


def bounds_words(numbers: Sequence[int] | Series) -> str:
    """What the bounds of medians are.

    Args:
        numbers: Of runs behind each of the medians, at least one.
    """
    if min(numbers) >= MIN_RUNS:
        return _INTERVAL
    if max(numbers) < MIN_RUNS:
        return _RANGE
    return f"{_INTERVAL}, {_RANGE} below {MIN_RUNS}"


def medians(runs: DataFrame, by: Sequence[str], value: str) -> DataFrame:
    """Median of each group with its bounds; a run whose value is a bound counts as infinite.

    Args:
        runs: With the columns of `by`, the value (known unless it is a bound), `bound` and `fit`.
        by: What the groups share.
        value: The column.

    Returns:
        A row for each group: `value`, `low`, `high` (an interval, or the range of fewer than six
        runs, as bench.core.stats.intervals.median gives it; missing where they are infinite, the
        last two also where there is a single run), `num_runs`, `num_reached`, `num_unfit`.
    """
    values = np.where(runs["bound"], np.inf, runs[value].astype(float))
    unfit = ~runs["fit"].to_numpy(dtype=bool)
    rows = []
    for key, places in runs.groupby(list(by), sort=True).indices.items():
        own = values[places]
        found = median(own)
        names = key if isinstance(key, tuple) else (key,)
        rows.append(
            {
                **dict(zip(by, names, strict=True)),
                value: found.value,
                "low": found.low,
                "high": found.high,
                "num_runs": len(own),
                "num_reached": int(np.isfinite(own).sum()),
                "num_unfit": int(unfit[places].sum()),
            }
        )
    numbers = [value, "low", "high"]
    return DataFrame(rows).astype(dict.fromkeys(numbers, "float64"))
