"""What a search found against what it had spent: the best configuration after each run."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, Series

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, log_axis
from analysis.figures.marks import dot, draw_points
from analysis.figures.prepare import (
    NothingToDraw,
    are_comparable,
    energy_labels,
    filled_labels,
    joule_kinds,
)
from analysis.figures.quantities import cost_label, label_with
from analysis.figures.style import COLOURS, INK, Width
from analysis.stats.outcomes import cut_off, outcomes, reached, refused, with_target
from bench.core.arrays import Floats
from bench.core.metric import Quantity, with_unit

_UNITS: dict[Quantity, str] = {"time_s": "s", "energy_j": "J", "cost_usd": "USD"}
# Marker and label of a run that did not reach its target, by its outcome.
_OTHERS = {
    "stopped": ("|", "stopped by the search"),
    "missed": ("^", "missed or interrupted"),
    "failed": ("x", "failed"),
}


def data_search(runs: DataFrame, *, quantity: Quantity = "time_s") -> DataFrame:
    """Prepare the best configuration so far against what all runs so far have spent.

    All runs count, in the order of their start: those that were stopped, interrupted, failed or
    measured again are part of what a search cost.

    Args:
        runs: As loaded.
        quantity: time_s or energy_j.

    Returns:
        A row for each run of known cost: `configuration`, `cost` (until its target, or altogether),
        `spent_so_far`, `best` (the lowest expected cost with restarts of any configuration, by all
        runs so far; missing before the first hit), `outcome` (`reached`, `stopped`, `missed` or
        `failed`), `comparable`, `num_unknown` (runs that were left out), `num_configurations`,
        `quantity`, `energy_label`.

    Raises:
        NothingToDraw: There are fewer than two such runs, none hit, or their joules are of several
            kinds, which do not add up.
    """
    trained = with_target(runs)
    trained = trained[~refused(trained)]
    if len(trained) < 2:
        raise NothingToDraw("fewer than two trainings: no search")
    if quantity == "energy_j" and filled_labels(trained, joule_kinds(trained)).nunique() > 1:
        raise NothingToDraw("the joules of the runs are of several kinds, which do not add up")
    cost = Series(outcomes(trained, quantity).cost, index=trained.index)
    known = trained[cost.notna()]
    hit = reached(known)
    if len(known) < 2 or not hit.any():
        raise NothingToDraw(f"no two runs of known {quantity}, or none that reached its target")
    kept: Floats = np.asarray(cost[cost.notna()], dtype=np.float64)
    names = known["configuration"].astype(str)
    return DataFrame(
        {
            "configuration": names,
            "cost": kept,
            "spent_so_far": kept.cumsum(),
            "best": _best(names, kept, hit),
            "outcome": _outcomes(known, hit),
            "comparable": are_comparable(known),
        }
    ).assign(
        num_unknown=len(trained) - len(known),
        num_configurations=names.nunique(),
        quantity=quantity,
        energy_label=energy_labels(trained),
    )


def _outcomes(runs: DataFrame, hit: Series) -> Series:
    ended = runs["status"].isin(["ok", "interrupted"])
    names = np.select([hit, cut_off(runs), ended], ["reached", "stopped", "missed"], "failed")
    return Series(names, index=runs.index, dtype=object)


def _best(names: Series, cost: Floats, hit: Series) -> list[float]:
    """The lowest expected cost with restarts after each run."""
    totals: dict[str, float] = {}
    hits: dict[str, int] = {}
    best = []
    for name, spent, is_hit in zip(names, cost, hit, strict=True):
        totals[name] = totals.get(name, 0.0) + spent
        hits[name] = hits.get(name, 0) + bool(is_hit)
        costs = [totals[one] / num for one, num in hits.items() if num]
        best.append(min(costs, default=np.nan))
    return best


@in_paper_style
def draw_search(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_search` gives."""
    figure, (axes,) = canvas(width)
    handles = _draw_runs(axes, data)
    (line,) = axes.step(
        data["spent_so_far"],
        data["best"],
        where="post",
        color=COLOURS[1],
        linewidth=1.4,
        label="best so far (ERT)",
    )
    log_axis(axes, "y")
    axes.set_xlim(left=0.0)
    unit = _UNITS[data["quantity"].iloc[0]]
    label = with_unit("spent by all runs so far", unit)
    is_time = data["quantity"].iloc[0] == "time_s"
    axes.set_xlabel(label if is_time else label_with(label, data["energy_label"].iloc[0]))
    axes.set_ylabel(cost_label(data))
    return finished(figure, [line, *handles], _words(data), width)


def _draw_runs(axes: Axes, data: DataFrame) -> list[Line2D]:
    """Draw each run at its own cost; the marks say how it ended."""
    handles = []
    hits = data[data["outcome"] == "reached"]
    style = {"size": 14, "linewidths": 0.7, "alpha": 0.8}
    x, y = hits["spent_so_far"], hits["cost"]
    draw_points(axes, x, y, hits["comparable"], COLOURS[0], **style)
    handles.append(dot(f"reached ({len(hits)})", COLOURS[0]))
    for outcome, (marker, name) in _OTHERS.items():
        rows = data[data["outcome"] == outcome]
        if len(rows):
            axes.scatter(rows["spent_so_far"], rows["cost"], s=14, marker=marker, color=INK)
            handles.append(dot(f"{name} ({len(rows)})", marker=marker))
    return handles


def _words(data: DataFrame) -> str:
    num = int(data["num_configurations"].iloc[0])
    words = (
        f"{len(data)} runs of {num} configuration{'s' * (num != 1)}, in the order of their start."
        " Each mark is a run at its own cost; the line is the lowest expected cost with restarts,"
        " by all runs so far."
    )
    if not data[data["outcome"] == "reached"]["comparable"].all():
        words += " Hollow: not comparable."
    unknown = int(data["num_unknown"].iloc[0])
    return f"{words} {unknown} runs of unknown cost are left out." if unknown else words
