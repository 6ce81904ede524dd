"""Quality against time and against energy, per configuration, with the target and the spread."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
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
from analysis.figures.prepare import (
    HIGHLIGHTED,
    counted_name,
    counts,
    energy_labels,
    evenly,
    ranked,
    trained_for,
)
from analysis.style import COLOURS, GREY, INK, LINES, Width

Axis = Literal["time_s", "energy_total_j"]
Floats = npt.NDArray[np.float64]

_POINTS = 120
_OTHERS = 80  # grey lines; more of them only make a blot
_LABELS = {"time_s": "time (s)", "energy_total_j": "energy (J, {label})"}


def data_curves(runs: DataFrame, curves: DataFrame, *, x: Axis = "time_s") -> DataFrame:
    """Quality over time or energy of each configuration: median and range over its runs.

    The quality of a run at a moment is that of its last evaluation so far; a run that has ended
    keeps its last. A curve begins where all runs of the configuration have an evaluation.

    Args:
        runs: As loaded.
        curves: Evaluations of these runs.
        x: What the quality is drawn against.

    Returns:
        Rows per configuration and place: `configuration`, x, `median`, `low`, `high` (smallest and
        largest of the runs), `num_runs`, `num_reached`, `num_unfit`, `shown` (`line` or, beyond
        what can be told apart, `grey`), `num_configurations`, `metric`, `target_value`,
        `energy_label`.

    Raises:
        NothingToDraw: No run has an evaluation with what is drawn.
    """
    trained = trained_for(runs, x)
    metric = str(trained["target.metric"].mode()[0])
    if metric not in curves or x not in curves:
        raise NothingToDraw(f"no evaluation holds {metric} and {x}")
    rows = curves[curves["run_id"].isin(trained["run_id"])]
    rows = rows[["run_id", x, metric]].dropna().astype({x: float, metric: float})
    rows = rows[rows[x] > 0].sort_values(["run_id", x], kind="stable")
    if rows.empty:
        raise NothingToDraw(f"no evaluation holds {metric} and {x}")
    trained = trained[trained["run_id"].isin(rows["run_id"])]
    by_run = {str(run): group for run, group in rows.groupby("run_id", sort=False)}
    order = ranked(trained)
    best = order[:HIGHLIGHTED]
    shown = best + evenly(order[HIGHLIGHTED:], _OTHERS)
    grid = np.geomspace(rows[x].min(), rows[x].max(), _POINTS)
    members = trained.groupby("configuration", sort=False)["run_id"].apply(list)
    parts = []
    for name in shown:
        pairs = [
            (by_run[run][x].to_numpy(), by_run[run][metric].to_numpy()) for run in members[name]
        ]
        part = _band(pairs, grid, x)
        parts.append(part.assign(configuration=name, shown="line" if name in best else "grey"))
    data = concat(parts, ignore_index=True).merge(counts(trained), on="configuration")
    return data.assign(
        num_configurations=len(order),
        metric=metric,
        target_value=_target_value(trained, metric),
        energy_label=energy_labels(trained),
    )


def _target_value(trained: DataFrame, metric: str) -> float:
    """The target that all of them had; NaN where they had several."""
    values = trained.loc[trained["target.metric"] == metric, "target.value"].unique()
    return float(values[0]) if len(values) == 1 else float("nan")


def _band(pairs: list[tuple[Floats, Floats]], grid: Floats, x: str) -> DataFrame:
    """Median and range over runs, at the places of the grid that the configuration spans."""
    start = max(float(place[0]) for place, _ in pairs)
    end = max(float(place[-1]) for place, _ in pairs)
    inner = grid[(grid > start) & (grid < end)]
    places = np.unique(np.concatenate([[start], inner, [end]]))
    values = np.stack(
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
def draw_curves(data: DataFrame, *, width: Width = "one") -> Figure:
    """Draw what `data_curves` gives."""
    x = "time_s" if "time_s" in data else "energy_total_j"
    figure, (axes,) = canvas(width, 2.3 if width == "one" else 3.0)
    for _, rows in data[data["shown"] == "grey"].groupby("configuration", sort=False):
        axes.plot(
            rows[x], rows["median"], color=GREY, linewidth=0.6, zorder=1, drawstyle="steps-post"
        )
    handles = []
    best = data[data["shown"] == "line"]
    names, common = short_names(best["configuration"])
    for place, (name, rows) in enumerate(best.groupby("configuration", sort=False)):
        first = rows.iloc[0]
        label = counted_name(
            names[str(name)], first["num_runs"], first["num_reached"], first["num_unfit"]
        )
        style = {"color": COLOURS[place], "linestyle": LINES[place]}
        axes.fill_between(
            rows[x],
            rows["low"],
            rows["high"],
            color=COLOURS[place],
            alpha=0.18,
            linewidth=0,
            step="post",
        )
        (line,) = axes.plot(
            rows[x],
            rows["median"],
            label=wrapped(label, 56 if width == "one" else 110),
            drawstyle="steps-post",
            **style,
        )
        handles.append(line)
    num_grey = int(data["num_configurations"].iloc[0]) - best["configuration"].nunique()
    if num_grey > 0:
        handles.append(Line2D([], [], color=GREY, label=f"{num_grey} other configurations"))
    _target_line(axes, data)
    log_axis(axes, "x")
    axes.set_xlabel(_LABELS[x].format(label=data["energy_label"].iloc[0]))
    axes.set_ylabel(f"validation {data['metric'].iloc[0].replace('_', ' ')}")
    legend_below(figure, handles, width)
    note(figure, f"{_words(data, best)} {common}".strip(), width)
    return figure


def _target_line(axes: object, data: DataFrame) -> None:
    target = float(data["target_value"].iloc[0])
    if np.isnan(target):
        return
    axes.axhline(target, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))  # type: ignore[attr-defined]
    axes.annotate(  # type: ignore[attr-defined]
        f"target {target:g}",
        (0.01, target),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        fontsize=6.5,
        color=INK,
    )


def _words(data: DataFrame, best: DataFrame) -> str:
    num = best.groupby("configuration")["num_runs"].first()
    runs = f"{num.min()}" if num.min() == num.max() else f"{num.min()} to {num.max()}"
    drawn = data.loc[data["shown"] == "grey", "configuration"].nunique()
    others = int(data["num_configurations"].iloc[0]) - len(num)
    thinned = f" {drawn} of the {others} others are drawn." if drawn < others else ""
    return (
        f"Line: median of n = {runs} runs; band: their range. A run that ended keeps its last "
        f"value. k/n: runs that reached the target.{thinned}"
    )


def figure_accuracy(
    runs: DataFrame, curves: DataFrame, *, x: Axis = "time_s", width: Width = "one"
) -> Figure:
    """Quality against time or energy, per configuration.

    Raises:
        NothingToDraw: No run has an evaluation with what is drawn.
    """
    return draw_curves(data_curves(runs, curves, x=x), width=width)
