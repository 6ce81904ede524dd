"""Joules per prediction against the share of predictions below the target, for each policy."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, concat

from analysis.figures.axes import (
    Canvas,
    canvas,
    finished,
    in_paper_style,
    log_axis,
    name_axis,
    plain_axis,
)
from analysis.figures.deployments import NEVER_ON_TARGET, deployment_runs
from analysis.figures.letters import draw_letters
from analysis.figures.marks import bars_words, dot, draw_bars, draw_points, n_words, paired_medians
from analysis.figures.prepare import NothingToDraw
from analysis.figures.quantities import label_with
from analysis.figures.style import COLOURS, INK, Width, short_names
from analysis.figures.tradeoff_draw import staircase, strictly_better
from analysis.load.deployments import OFF_TARGET, UPKEEP
from analysis.load.joules import joules_in_doubt
from analysis.load.values import numbers
from analysis.stats.pareto import front_probability, noise_of
from bench.core.metrics import label_of, metric_at
from bench.core.stats.intervals import MIN_RUNS

_BEATEN = "0.55"
_LEAST_SPAN = 20.0  # percentage points on the axis of the share
_BESIDE = 1.5  # percentage points beyond 0 and 100, for points on them
_ROOM = 0.04  # below 0 J, as a share of the axis
_SPAN = 10.0  # largest value / median, up to which an axis is linear


def data_maintenance_pareto(runs: DataFrame) -> DataFrame:
    """Prepare both medians of each configuration, and which of them no other one beats.

    Args:
        runs: As loaded, or a group of them.

    Returns:
        A row for each configuration: `configuration`, `x` (share of predictions in windows below
        the target) and `y` (joules of the upkeep per 1,000 predictions) with their `_low` and
        `_high`, `front` (among comparable runs of one `label`, without the oracle, which knows the
        future), `beaten_by` (a policy that beats it), `front_share`, `is_oracle`,
        `never_on_target`, `num_runs`, `num_incomparable`, `num_without` (runs without joules).

    Raises:
        NothingToDraw: No run has both.
    """
    kept = deployment_runs(runs)
    table = DataFrame(
        {
            "configuration": kept["configuration"].astype(str),
            "comparable": kept["comparable"] & ~joules_in_doubt(kept),
            "x": numbers(kept, OFF_TARGET),
            "y": numbers(kept, UPKEEP),
            **{name: kept[name] for name in ("is_oracle", "never_on_target", "label")},
        }
    )
    known = table.dropna(subset=["x", "y"]).assign(x_bound=False, y_bound=False)
    if known.empty:
        raise NothingToDraw("no run of bench.maintain has joules and known labels")
    groups = known.groupby("configuration")
    data = paired_medians(known, "x", "y")
    data = data.join(groups[["is_oracle", "label"]].first())
    data["never_on_target"] = groups["never_on_target"].all()
    return _with_fronts(data.reset_index(), known).assign(num_without=len(table) - len(known))


def _with_fronts(data: DataFrame, known: DataFrame) -> DataFrame:
    """Add the front of the policies that can be used, one for each label of joules."""
    usable = known[known["comparable"] & ~known["is_oracle"]]
    data = data.assign(front=False, beaten_by=None, front_share=np.nan)
    for _, rows in usable.groupby("label"):
        noise = (noise_of(rows, OFF_TARGET), noise_of(rows, UPKEEP))
        found = front_probability(rows, "x", "y", ("min", "min"), noise=noise)
        found = found.set_index("configuration")
        places = data["configuration"].isin(found.index)
        names = data.loc[places, "configuration"]
        data.loc[places, "front"] = names.map(found["on_front"]).astype(bool)
        data.loc[places, "beaten_by"] = names.map(found["beaten_by"]).astype(object)
        data.loc[places, "front_share"] = names.map(found["front_probability"])
    return data


@in_paper_style
def draw_maintenance_pareto(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_maintenance_pareto` gives."""
    figure, (axes,) = canvas(width, 2.4 if width == "one" else 3.2)
    names, common = short_names(data["configuration"])
    scaled = {f"x{end}": 100 * data[f"x{end}"] for end in ("", "_low", "_high")}
    rows = data.assign(**scaled, configuration=data["configuration"].map(names))
    rows["beaten_by"] = rows["beaten_by"].map(names)
    oracle = rows[rows["is_oracle"].astype(bool)]
    policies = rows[~rows["is_oracle"].astype(bool)].sort_values("x")
    is_front = policies["front"].astype(bool)
    front, others = policies[is_front], policies[~is_front]
    for part, colour in ((others, _BEATEN), (front, COLOURS[0])):
        draw_bars(axes, part, "x", "y", color=colour, linewidth=0.6, alpha=0.7)
        for never, marker in ((False, "o"), (True, "^")):
            drawn = part[part["never_on_target"].astype(bool) == never]
            filled = drawn["num_incomparable"] == 0
            look = {"marker": marker, "edgecolors": INK if never else colour}
            draw_points(axes, drawn["x"], drawn["y"], filled, colour, size=22, **look)
    draw_bars(axes, oracle, "x", "y", color=INK, linewidth=0.6, alpha=0.7)
    # Hollow, since nobody can follow it; a policy that equals it shows inside.
    axes.scatter(
        oracle["x"],
        oracle["y"],
        s=60,
        marker="D",
        facecolors="none",
        edgecolors=INK,
        linewidths=0.9,
        zorder=4,
    )
    for _, members in front.groupby("label"):
        steps = strictly_better(members, less_is_better=True)
        line = staircase(steps["x"].to_numpy(float), steps["y"].to_numpy(float))
        axes.plot(*line, color=COLOURS[0], linewidth=0.9, linestyle="--")
    _scale(axes, rows)
    axes.set_xlabel("predictions below the target (%)")
    labels = sorted(set(data["label"]))
    label = label_of(UPKEEP)
    # A long legend leaves the axes little height.
    label = label_with(label, labels[0] if len(labels) == 1 else "by label")
    name_axis(axes, "y", label, 18)
    letters = draw_letters(axes, front, others, 50 if width == "one" else 100)
    handles = [*letters, *_handles(front, others, oracle)]
    return finished(figure, handles, f"{_words(data)} {common}", width)


def _scale(axes: Axes, rows: DataFrame) -> None:
    """Both axes begin at 0, unless the joules span too much for that."""
    # Never beyond what a share can be, and never so narrow that a hair's breadth looks like a gap.
    middle = rows["x"].max() / 2 + rows["x"].min() / 2
    left, right = axes.get_xlim()
    left, right = min(left, middle - _LEAST_SPAN / 2), max(right, middle + _LEAST_SPAN / 2)
    axes.set_xlim(max(left, -_BESIDE), min(right, 100 + _BESIDE))
    plain_axis(axes, "x")
    values = rows["y"]
    if values.max() > _SPAN * values.median() and values.min() > 0:
        log_axis(axes, "y")
    else:
        axes.set_ylim(bottom=-_ROOM * axes.get_ylim()[1])
        plain_axis(axes, "y")


def _handles(front: DataFrame, others: DataFrame, oracle: DataFrame) -> list[Line2D]:
    handles: list[Line2D] = []
    for row in oracle.to_dict("records"):
        name = f"{row['configuration']}  n = {row['num_runs']}: knows the future"
        handles.append(dot(name, INK, marker="D", face="white"))
    policies = concat([front, others])
    if len(front) and len(others):
        handles.append(dot(f"beaten by another ({len(others)})", _BEATEN))
    num_never = int(policies["never_on_target"].sum())
    if num_never:
        handles.append(dot(f"{NEVER_ON_TARGET} ({num_never})", marker="^"))
    num_incomparable = int((policies["num_incomparable"] > 0).sum())
    if num_incomparable:
        handles.append(dot(f"with incomparable runs ({num_incomparable})", face="white"))
    return handles


def _words(data: DataFrame) -> str:
    words = (
        f"Point: median of {n_words(data['num_runs'])} deployments{bars_words(data['num_runs'])}."
        " Upkeep: detecting, deciding, retraining, promoting."
    )
    if data["front"].any():
        least = " or ".join(
            f"{100 * metric_at(name).least_effect_frac:g}%" for name in (OFF_TARGET, UPKEEP)
        )
        words += (
            f" Beaten: worse in one beyond the uncertainty (interval from {MIN_RUNS} runs on, else"
            f" {least}), and not better beyond it in the other."
        )
        if data["front_share"].notna().any():
            words += " %: share of resamples in which it is on the front."
    elif data["num_incomparable"].any():
        words += " No front: no run is comparable."
    if data["label"].nunique() > 1:
        words += " Each label of joules has a front of its own."
    num = int(data["num_without"].iloc[0])
    return words + (f" {num} runs without joules or labels are left out." if num else "")
