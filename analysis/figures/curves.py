"""Quality against time and against energy, per configuration, with the target and the spread."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from analysis.figures.axes import (
    Canvas,
    canvas,
    finished,
    in_paper_style,
    log_axis,
    name_axis,
    plain_axis,
)
from analysis.figures.lines import draw_lines
from analysis.figures.marks import draw_band, n_words, write_beside
from analysis.figures.prepare import (
    NothingToDraw,
    drawn,
    energy_labels,
    quality_label,
    ranked,
    trained_for,
    with_counts,
)
from analysis.figures.style import INK, SMALL_PT, Width
from bench.core.arrays import Floats

Axis = Literal["time_s", "energy_total_j"]
Pair = tuple[Floats, Floats]

# Places on the common grid of a curve: a figure of 7 inches shows no more.
_POINTS = 120
_LEAST_COMPARED = 2  # a single curve is shown from its start
_LEAST_SPAN = 0.01  # of final shares
_CUT = 0.3  # of the axis, that cutting off the beginning has to save
_ABOVE = 0.06  # room above the best, as a share of the axis
_LEFT = 0.95  # of the first place above the cut
_SPAN = 10  # of values, as a factor, from which on the axis is logarithmic
_LABELS = {"time_s": "time (s)", "energy_total_j": "energy (J, {label})"}


def data_curves(runs: DataFrame, curves: DataFrame, *, x: Axis = "time_s") -> DataFrame:
    """Prepare quality over time or energy by configuration: median and range over its runs.

    The quality of a run is that of its latest evaluation; a run that has ended keeps its last. A
    curve begins where all runs of the configuration have an evaluation.

    Args:
        runs: As loaded.
        curves: Evaluations of these runs.
        x: What the quality is drawn against.

    Returns:
        Rows per configuration and value of x: `configuration`, x, `median`, `low`, `high` (smallest
        and largest of the runs), `num_curves` (runs behind them), `num_runs` (including runs
        without an evaluation), `num_reached`, `num_incomparable`, `shown` (`line`, or `grey` if
        there are more lines than one can tell apart), `metric` (of the configuration's target),
        `num_configurations`, `target_value`, `energy_label`.

    Raises:
        NothingToDraw: No run has an evaluation with what is drawn.
    """
    trained = trained_for(runs, x)
    by_run = _qualities(trained, curves, x)
    if not by_run:
        names = " or ".join(sorted(trained["target.metric"].unique()))
        raise NothingToDraw(f"no evaluation holds {names} and {x}")
    evaluated = trained[trained["run_id"].isin(by_run)]
    order = ranked(evaluated)
    places = np.concatenate([place for place, _ in by_run.values()])
    grid = np.geomspace(places.min(), places.max(), _POINTS)
    runs_by_name = dict(list(evaluated.groupby("configuration", sort=False)))
    parts = [
        _band([by_run[run] for run in runs_by_name[name]["run_id"]], grid, x).assign(
            configuration=name,
            shown=shown,
            metric=runs_by_name[name]["target.metric"].iloc[0],
            num_curves=len(runs_by_name[name]),
        )
        for name, shown in drawn(order).items()
    ]
    values = evaluated["target.value"].unique()
    return with_counts(parts, trained, len(order)).assign(
        target_value=float(values[0]) if len(values) == 1 else np.nan,
        energy_label=energy_labels(evaluated),
    )


def _qualities(trained: DataFrame, curves: DataFrame, x: str) -> dict[str, Pair]:
    """By run: x of its evaluations, and their values of the metric of its target."""
    pairs: dict[str, Pair] = {}
    # All runs of a metric at once, since a frame of its own for each of many runs takes long.
    for metric, runs in trained.groupby("target.metric", sort=False)["run_id"]:
        quality = f"quality.{metric}"
        if quality not in curves or x not in curves:
            continue
        known = curves.loc[curves["run_id"].isin(runs), ["run_id", x, quality]].dropna()
        # An evaluation before the first step has no place on a log axis.
        known = known[known[x].astype(float) > 0].sort_values(["run_id", x], kind="stable")
        names = known["run_id"].to_numpy(dtype=object)
        starts = np.flatnonzero(names[1:] != names[:-1]) + 1
        places, values = (
            np.split(known[name].to_numpy(dtype=float), starts) for name in (x, quality)
        )
        firsts = names[[0, *starts]] if len(names) else names
        pairs |= dict(zip(map(str, firsts), zip(places, values, strict=True), strict=False))
    return pairs


def _band(pairs: list[Pair], grid: Floats, x: str) -> DataFrame:
    """Median and range over runs, at the points of the grid that the configuration spans."""
    # Before that, the median would be over fewer runs, and would jump where one more joins.
    start = max(float(place[0]) for place, _ in pairs)
    end = max(float(place[-1]) for place, _ in pairs)
    inner = grid[(grid > start) & (grid < end)]
    places = np.unique(np.concatenate([[start], inner, [end]]))
    values = np.stack(
        # The index of the last evaluation at or before each place.
        [quality[np.searchsorted(place, places, side="right") - 1] for place, quality in pairs]
    )
    return DataFrame(
        {
            x: places,
            "median": np.median(values, axis=0),
            "low": values.min(axis=0),
            "high": values.max(axis=0),
        }
    )


@in_paper_style
def draw_curves(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_curves` gives."""
    x = "time_s" if "time_s" in data else "energy_total_j"
    figure, (axes,) = canvas(width)

    def draw_more(rows: DataFrame, colour: str) -> None:
        draw_band(axes, rows[x], rows["low"], rows["high"], colour, step="post")

    handles, common = draw_lines(axes, data, x, "median", width, draw_more=draw_more)
    _target_line(axes, data)
    label = quality_label(data["metric"])
    least, most = float(data["low"].min()), float(data["high"].max())
    lowest = _lowest(data) if "fraction" in label else None
    if lowest is not None:
        axes.set_ylim(lowest, most + _ABOVE * (most - lowest))
        axes.set_xlim(left=_LEFT * float(data.loc[data["high"] > lowest, x].min()))
    log_axis(axes, "x")
    # A perplexity or a squared error falls by orders of magnitude, of which only the first would
    # show on a linear axis.
    if 0 < _SPAN * least < most and "fraction" not in label:
        log_axis(axes, "y")
    else:
        plain_axis(axes, "y")
    axes.set_xlabel(_LABELS[x].format(label=data["energy_label"].iloc[0]))
    name_axis(axes, "y", label)
    best = data[data["shown"] == "line"]
    words = _words(data, best)
    if lowest is not None:
        words += f" Cut off below {lowest:.3g}, to show where the configurations differ."
    return finished(figure, handles, f"{words} {common}", width)


def _lowest(data: DataFrame) -> float | None:
    """Where an axis of shares begins; None if most of it shows differences from 0 on.

    The range in which the best configurations end, and the target, get a quarter of the axis.
    """
    best = data[data["shown"] == "line"].groupby("configuration")["median"].last()
    if len(best) < _LEAST_COMPARED:
        return None
    ends = [*best, *data["target_value"].dropna().iloc[:1]]
    whole, top = float(data["low"].min()), float(data["high"].max())
    span = max(max(ends) - min(ends), _LEAST_SPAN)
    lowest = min(ends) - 3 * span
    return lowest if lowest - whole > _CUT * (top - whole) else None


def _target_line(axes: Axes, data: DataFrame) -> None:
    target = float(data["target_value"].iloc[0])
    if np.isnan(target):
        return
    axes.axhline(target, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
    style: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "fontsize": SMALL_PT,
        "color": INK,
    }
    write_beside(axes, f"target {target:g}", (0.01, target), (0, 2), **style)


def _words(data: DataFrame, best: DataFrame) -> str:
    num = best.groupby("configuration")["num_curves"].first()
    drawn = data.loc[data["shown"] == "grey", "configuration"].nunique()
    others = int(data["num_configurations"].iloc[0]) - len(num)
    thinned = f" {drawn} of the {others} others are drawn." if drawn < others else ""
    hidden = int((best.groupby("configuration")["num_runs"].first() - num).sum())
    if hidden:
        thinned += f" {hidden} runs without an evaluation here have no curve."
    return (
        f"Line: median of {n_words(num)} runs; band: their range. A run that ended keeps its last "
        f"value. k/n: runs that reached the target.{thinned}"
    )
