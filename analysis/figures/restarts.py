"""The expected time to the target if one starts again after every run that misses."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame

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
from analysis.figures.prepare import evenly, training_runs
from analysis.outcomes import outcomes
from analysis.restarts import expected_cost, simulated_restarts
from analysis.style import COLOURS, INK, Width

_ROWS = 16


def data_restarts(runs: DataFrame) -> DataFrame:
    """Expected time with restarts per configuration, its interval, and what a single try may take.

    Args:
        runs: As loaded.

    Returns:
        A row for each configuration, the best first and those without a hit last: `configuration`,
        `expected_s` with `low`, `high` (95% bootstrap, missing where unbounded), `tenth_s` and
        `ninetieth_s` (of simulated restarts), `hits_mean_s` (mean of the runs that hit, which is
        not what a try costs), `total_s` (all that was spent), `num_runs`, `num_reached`,
        `num_unfit`, `num_configurations`.

    Raises:
        NothingToDraw: There is no training whose time is known.
    """
    trained = training_runs(runs)
    known = trained[~np.isnan(outcomes(trained).cost)]
    if known.empty:
        raise NothingToDraw("no training with a known time")
    groups = {str(n): known.iloc[p] for n, p in known.groupby("configuration").indices.items()}
    ended = {name: outcomes(rows) for name, rows in groups.items()}

    def rank(name: str) -> tuple[bool, float]:
        own = ended[name]
        return own.num_hits == 0, float(own.cost.sum()) / max(own.num_hits, 1)

    rows = []
    for name in evenly(sorted(groups, key=rank), _ROWS):
        own, found = ended[name], expected_cost(ended[name])
        tries = simulated_restarts(own) if own.num_hits else np.array([np.nan])
        rows.append(
            {
                "configuration": name,
                "expected_s": found.value,
                "low": found.low,
                "high": found.high,
                "tenth_s": float(np.percentile(tries, 10)),
                "ninetieth_s": float(np.percentile(tries, 90)),
                "hits_mean_s": float(own.cost[own.hit].mean()) if own.num_hits else np.nan,
                "total_s": float(own.cost.sum()),
                "num_runs": len(own),
                "num_reached": own.num_hits,
                "num_unfit": int((~groups[name]["fit"]).sum()),
            }
        )
    floats = dict.fromkeys(("expected_s", "low", "high"), "float64")
    return DataFrame(rows).astype(floats).assign(num_configurations=len(groups))


@in_paper_style
def draw_restarts(data: DataFrame, *, width: Width = "one") -> Figure:
    """Draw what `data_restarts` gives."""
    names, common = short_names(data["configuration"])
    labels = [_row_name(row, names, width) for row in data.to_dict("records")]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure, (axes,) = canvas(width, 0.6 + 0.12 * lines + 0.07 * len(data))
    places = np.arange(len(data))[::-1]
    hit = (data["num_reached"] > 0).to_numpy()
    _draw_hits(axes, data[hit], places[hit])
    vain = data[~hit]
    axes.scatter(
        vain["total_s"], places[~hit], s=22, marker=">", facecolors="white", edgecolors=INK
    )
    log_axis(axes, "x")
    axes.set_yticks(places, labels, fontsize=6)
    axes.set_ylim(-0.7, len(data) - 0.3)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("expected time to hit (s)")
    legend_below(figure, _handles(data, hit), width)
    note(figure, _words(data, common), width)
    return figure


def _row_name(row: dict[Any, Any], names: dict[str, str], width: Width) -> str:
    unfit = f", {row['num_unfit']} unfit" if row["num_unfit"] else ""
    text = f"{names[str(row['configuration'])]}  {row['num_reached']}/{row['num_runs']}{unfit}"
    return wrapped(text, 28 if width == "one" else 60)


def _draw_hits(axes: Axes, data: DataFrame, places: object) -> None:
    axes.hlines(places, data["tenth_s"], data["ninetieth_s"], color="0.7", linewidth=0.9)  # type: ignore[arg-type]
    bounded = data["high"].fillna(data["ninetieth_s"].fillna(data["expected_s"]))
    axes.hlines(places, data["low"], bounded, color=COLOURS[0], linewidth=2.2)  # type: ignore[arg-type]
    fit = (data["num_unfit"] == 0).to_numpy()
    faces = np.where(fit, COLOURS[0], "white")
    axes.scatter(
        data["expected_s"],
        places,  # type: ignore[arg-type]
        s=20,
        facecolors=list(faces),
        edgecolors=COLOURS[0],
        linewidths=0.9,
        zorder=3,
    )
    axes.scatter(data["hits_mean_s"], places, s=26, marker="|", color=COLOURS[3], zorder=4)  # type: ignore[arg-type]


def _handles(data: DataFrame, hit: object) -> list[Line2D]:
    handles = [
        Line2D([], [], color=COLOURS[0], marker="o", linewidth=2.2, label="expected, 95%"),
        Line2D([], [], color="0.7", linewidth=0.9, label="10% to 90% of tries"),
        Line2D([], [], color=COLOURS[3], linestyle="", marker="|", label="mean of hits alone"),
    ]
    if not np.asarray(hit).any():
        handles = []
    num_vain = int((~np.asarray(hit)).sum())
    if num_vain:
        handles.append(
            Line2D(
                [],
                [],
                linestyle="",
                marker=">",
                color=INK,
                markerfacecolor="white",
                label=f"no hit ({num_vain})",
            )
        )
    return handles


def _words(data: DataFrame, common: str) -> str:
    words = "k/n: runs that hit; misses and failures inside, at what they spent."
    if data["num_unfit"].any():
        words += " Hollow: with runs unfit to compare."
    if ((data["num_reached"] > 0) & data["high"].isna() & (data["num_runs"] > 1)).any():
        words += " Where too few hit, the bar has no upper end and is drawn to that of the tries."
    if (data["num_reached"] == 0).any():
        words += " No hit: the total spent, a lower bound."
    num = int(data["num_configurations"].iloc[0])
    if num > len(data):
        words += f" {len(data)} of {num} configurations, evenly from best to worst."
    return f"{words} {common}".strip()


def figure_restarts(runs: DataFrame, *, width: Width = "one") -> Figure:
    """Expected time to the target with restarts, per configuration.

    Raises:
        NothingToDraw: There is no training whose time is known.
    """
    return draw_restarts(data_restarts(runs), width=width)
