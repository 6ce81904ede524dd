"""Training-serving skew: how far two paths are apart, and how many predictions that changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from pandas import DataFrame, Series

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, wrapped
from analysis.figures.marks import dot, n_words, write_beside
from analysis.figures.prepare import NothingToDraw, evenly, serving_runs
from analysis.figures.style import COLOURS, INK, MARKERS, SMALL_PT, Width, short_names
from analysis.load.values import column, numbers
from bench.core.arrays import Floats

_MOST_ROWS = 16
# Of the differences: colour and mark.
_PARTS = {"features": 0, "outputs": 1}


def data_skew(runs: DataFrame) -> DataFrame:
    """Prepare the largest differences between training and serving, per configuration.

    Args:
        runs: As loaded.

    Returns:
        A row for each configuration, the largest difference first: `configuration`; `features` and
        `outputs`, the largest difference as a multiple of what rounding explains (missing if it
        cannot be seen or is not judged); `changed_pct`, the largest share of predictions that
        change (missing without classes); `num_runs`, `num_found`, `num_configurations`.

    Raises:
        NothingToDraw: No run compared its paths.
    """
    served = serving_runs(runs)
    found = column(served, "skew.found")
    served = served[found.notna()]
    if served.empty:
        raise NothingToDraw("no run of bench.serve compared training and serving")
    parts = DataFrame(
        {
            "configuration": served["configuration"].astype(str),
            **{name: _multiples(served, name) for name in _PARTS},
            "changed_pct": 100 * numbers(served, "skew.changed_predictions_frac"),
            "found": found[served.index].eq(True),
        }
    )
    groups = parts.groupby("configuration")
    data = groups[[*_PARTS, "changed_pct"]].max()
    data = data.assign(num_runs=groups.size(), num_found=groups["found"].sum())
    order = data[[*_PARTS]].max(axis=1).fillna(-1).sort_values(ascending=False, kind="stable")
    shown = data.loc[evenly(list(order.index), _MOST_ROWS)]
    return shown.reset_index().assign(num_configurations=len(data))


def _multiples(served: DataFrame, name: str) -> Series:
    difference = numbers(served, f"skew.{name}_max_difference")
    return difference / numbers(served, f"skew.{name}_tolerance")


@in_paper_style
def draw_skew(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_skew` gives."""
    names, common = short_names(data["configuration"])
    characters = 26 if width == "one" else 48
    labels = [_row_name(row, names, characters) for row in data.to_dict("records")]
    lines = sum(label.count("\n") + 1 for label in labels)
    height_in = 0.7 + 0.135 * lines + 0.07 * len(data)
    figure, (left, right) = canvas(width, height_in, num=2, columns=2, sharey=True)
    heights = np.arange(len(data), dtype=float)[::-1]
    for name, place in _PARTS.items():
        style: dict[str, Any] = {"color": COLOURS[place], "marker": MARKERS[place]}
        left.scatter(data[name], heights, s=30 - 12 * place, zorder=3 + place, **style)
    _multiples_axis(left, data)
    left.axvline(1, color=INK, linewidth=0.7, linestyle=(0, (2, 2)))
    left.set_xlabel("largest\ndifference /\nrounding")
    left.set_yticks(heights, labels, fontsize=SMALL_PT)
    left.set_ylim(-0.7, len(data) - 0.3)
    _draw_changes(right, data["changed_pct"], heights)
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
    handles = [dot(name, COLOURS[n], marker=MARKERS[n]) for name, n in _PARTS.items()]
    changes = Patch(facecolor=COLOURS[2], label="predictions")
    rounding = Line2D([], [], color=INK, linewidth=0.7, linestyle=(0, (2, 2)), label="rounding")
    return finished(figure, [*handles, changes, rounding], _words(data, common), width)


def _multiples_axis(axes: Axes, data: DataFrame) -> None:
    """Make an axis linear up to what rounding explains, as most differences are 0, then log."""
    most = float(np.nanmax([*data["features"], *data["outputs"], 10.0]))
    decades = int(np.ceil(np.log10(most))) + 1
    axes.set_xscale("symlog", linthresh=1.0)
    axes.set_xlim(-0.3, 10.0**decades)
    # Three ticks above 1 have room in the narrow figure.
    ticks = [0.0, *(10.0**power for power in range(0, decades + 1, -(-decades // 3)))]
    axes.set_xticks(
        ticks, [f"1e{np.log10(tick):.0f}" if tick > 1 else f"{tick:g}" for tick in ticks]
    )
    axes.minorticks_off()


def _draw_changes(axes: Axes, changed_pct: Series, heights: Floats) -> None:
    known = changed_pct.notna().to_numpy()
    axes.barh(heights[known], changed_pct[known], height=0.6, color=COLOURS[2])
    for height, value in zip(heights, changed_pct, strict=True):
        text = "no classes" if np.isnan(value) else f"{value:.3g}%"
        place = max(0.0, np.nan_to_num(value)), height
        write_beside(axes, text, place, (3, 0), va="center", fontsize=SMALL_PT)
    axes.margins(x=0.25)
    axes.set_xlim(left=0)
    axes.set_xlabel("predictions\nthat change\n(%)")


def _row_name(row: dict[Any, Any], names: dict[str, str], characters: int) -> str:
    name = names[str(row["configuration"])]
    return wrapped(f"{name}  {row['num_found']}/{row['num_runs']}", characters)


def _words(data: DataFrame, common: str) -> str:
    words = (
        f"k/n: runs that found skew; {n_words(data['num_runs'])}. Of several runs, the largest "
        "difference. No point: it cannot be seen, or is not judged."
    )
    num = int(data["num_configurations"].iloc[0])
    if num > len(data):
        words += f" {len(data)} of {num} configurations, evenly from largest to smallest."
    return f"{words} {common}".strip()
