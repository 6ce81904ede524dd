"""The expected time to the target if a new run starts after every run that misses."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, log_axis, wrapped
from analysis.figures.by_configuration import outcomes_by_configuration
from analysis.figures.marks import dot, draw_points
from analysis.figures.prepare import NothingToDraw, counted_name, counts, evenly, training_runs
from analysis.figures.style import COLOURS, INK, SMALL_PT, Width, short_names
from analysis.stats.expected_cost import expected_cost, simulated_restarts
from analysis.stats.outcomes import Outcomes, outcomes
from bench.core.stats.intervals import MIN_RUNS

# More rows than a page of a paper has room for.
_MOST_ROWS = 16


def data_restarts(runs: DataFrame) -> DataFrame:
    """Prepare the expected time with restarts, its interval, and the range of single tries.

    Args:
        runs: As loaded.

    Returns:
        A row for each configuration, the best first and those without a hit last: `configuration`,
        `expected_s` with `low`, `high` (95%, missing without an interval), `tenth_s` and
        `ninetieth_s` (percentiles of simulated restarts), `hits_mean_s` (mean of the runs that hit,
        which ignores the cost of misses), `total_s` (the sum of known times), `num_runs`,
        `num_reached`, `num_unknown` (runs of unknown time; with any, there is no expected time),
        `num_incomparable`, `num_configurations`.

    Raises:
        NothingToDraw: There is no training with a known time.
    """
    trained = training_runs(runs)
    if np.isnan(outcomes(trained).cost).all():
        raise NothingToDraw("no training with a known time")
    ended = outcomes_by_configuration(trained)
    num_incomparable = counts(trained)["num_incomparable"]

    def rank(name: str) -> tuple[bool, float]:
        one = ended[name]
        # The point estimate of the expected time, without its costly interval: all costs / hits.
        return one.num_hits == 0, float(np.nansum(one.cost)) / max(one.num_hits, 1)

    rows = [
        {
            "configuration": name,
            **_expected(ended[name]),
            "num_incomparable": int(num_incomparable[name]),
        }
        for name in evenly(sorted(ended, key=rank), _MOST_ROWS)
    ]
    # None in a column of numbers would make it one of objects.
    floats = dict.fromkeys(("expected_s", "low", "high"), "float64")
    return DataFrame(rows).astype(floats).assign(num_configurations=len(ended))


def _expected(ended: Outcomes) -> dict[str, Any]:
    """The numbers of one configuration; without a hit, or with an unknown cost, only the total."""
    estimate = expected_cost(ended)
    is_known = ended.num_hits > 0 and ended.num_unknown == 0
    # Percentiles of NaN are NaN, as for every number of a configuration without a hit.
    tries = simulated_restarts(ended) if is_known else np.array([np.nan])
    return {
        "expected_s": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "tenth_s": float(np.percentile(tries, 10)),
        "ninetieth_s": float(np.percentile(tries, 90)),
        "hits_mean_s": float(np.nanmean(ended.cost[ended.hit])) if is_known else np.nan,
        "total_s": float(np.nansum(ended.cost)),
        "num_runs": len(ended),
        "num_reached": ended.num_hits,
        "num_unknown": ended.num_unknown,
    }


@in_paper_style
def draw_restarts(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_restarts` gives."""
    names, common = short_names(data["configuration"])
    labels = [_row_name(row, names, width) for row in data.to_dict("records")]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure, (axes,) = canvas(width, 0.6 + 0.135 * lines + 0.07 * len(data))
    data = data.assign(height=np.arange(len(data))[::-1])
    is_known = data["expected_s"].notna()
    _draw_hits(axes, data[is_known])
    bounds = data[~is_known & (data["total_s"] > 0)]
    x, y = bounds["total_s"], bounds["height"]
    axes.scatter(x, y, s=22, marker=">", facecolors="white", edgecolors=INK)
    log_axis(axes, "x")
    axes.set_yticks(data["height"], labels, fontsize=SMALL_PT)
    axes.set_ylim(-0.7, len(data) - 0.3)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("expected time to hit (s)")
    return finished(figure, _handles(data), _words(data, common), width)


def _row_name(row: dict[Any, Any], names: dict[str, str], width: Width) -> str:
    numbers = (row["num_runs"], row["num_reached"], row["num_incomparable"])
    return wrapped(
        counted_name(names[str(row["configuration"])], *numbers), 28 if width == "one" else 60
    )


def _draw_hits(axes: Axes, data: DataFrame) -> None:
    heights = data["height"]
    axes.hlines(heights, data["tenth_s"], data["ninetieth_s"], color="0.7", linewidth=0.9)
    # A bar needs an end, also where the interval has none.
    bounded = data["high"].fillna(data["ninetieth_s"].fillna(data["expected_s"]))
    axes.hlines(heights, data["low"], bounded, color=COLOURS[0], linewidth=2.2)
    are_comparable = data["num_incomparable"] == 0
    style = {"size": 20, "linewidths": 0.9}
    draw_points(axes, data["expected_s"], heights, are_comparable, COLOURS[0], **style)
    axes.scatter(data["hits_mean_s"], heights, s=26, marker="|", color=COLOURS[3], zorder=4)


def _handles(data: DataFrame) -> list[Line2D]:
    bars = data["low"].notna().any()
    expected = {"linewidth": 2.2, "label": "expected, 95%"} if bars else {"label": "expected"}
    handles = [
        Line2D([], [], color=COLOURS[0], marker="o", linestyle="-" if bars else "", **expected),
        Line2D([], [], color="0.7", linewidth=0.9, label="10% to 90% of tries"),
        dot("mean of hits alone", COLOURS[3], marker="|"),
    ]
    num_bounds = int(data["expected_s"].isna().sum())
    if num_bounds == len(data):
        handles = []
    if num_bounds:
        reason = "no hit, or an unknown cost" if data["num_unknown"].any() else "no hit"
        handles.append(dot(f"{reason} ({num_bounds})", marker=">", face="white"))
    return handles


def _words(data: DataFrame, common: str) -> str:
    words = "k/n: runs that hit. Misses and failures count with what they spent."
    if data["num_incomparable"].any():
        words += " Hollow: with runs that are not comparable."
    known = data[data["expected_s"].notna()]
    if (known["low"].notna() & known["high"].isna()).any():
        words += " If too few hit, the bar has no upper end and is drawn to that of the tries."
    if known["low"].isna().any():
        words += f" No bar: fewer than {MIN_RUNS} runs, fewer than two hits, or no run that missed."
    if data["expected_s"].isna().any():
        words += " No hit: the total spent, a lower bound."
    if data["num_unknown"].any():
        num = int(data["num_unknown"].sum())
        words += f" {num} runs have an unknown cost; their configurations have no expected time."
    num = int(data["num_configurations"].iloc[0])
    if num > len(data):
        words += f" {len(data)} of {num} configurations, evenly from best to worst."
    return f"{words} {common}".strip()
