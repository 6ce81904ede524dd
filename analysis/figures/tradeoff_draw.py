"""Draws one metric against another, with the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, Series, concat

from analysis.figures.axes import (
    Canvas,
    canvas,
    finished,
    in_paper_style,
    log_axis,
    many,
    name_axis,
    plain_axis,
)
from analysis.figures.keyed import Looks, looks_of
from analysis.figures.letters import MOST_LETTERS, draw_letters, values_of_key
from analysis.figures.marks import bars_words, dot, draw_bars, draw_points, n_words
from analysis.figures.quantities import (
    BATCH_SIZE,
    SETTING,
    is_charge,
    label_in,
    label_with,
    sample_in,
)
from analysis.figures.style import COLOURS, INK, Width, short_names, short_number
from analysis.stats.accuracy import is_share
from bench.core.arrays import Floats
from bench.core.metrics import label_of, metric_at
from bench.core.stats.intervals import MIN_RUNS

_BEATEN = "0.55"  # colour of a point that has no other


@in_paper_style
def draw_tradeoff(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_tradeoff` gives."""
    x, y = _axis_names(data)
    figure, (axes,) = canvas(width, 2.4 if width == "one" else 3.2)
    drawn = data.dropna(subset=["x", "y"])
    # Of all that are drawn: what the note says of all must be true of each point.
    names, common = short_names(drawn["configuration"])
    characters = 50 if width == "one" else 100
    # Few points have letters, and many a colour and a shape.
    looks = None
    if len(drawn) - drawn["front"].sum() > MOST_LETTERS:
        characters //= 2  # room for two columns of short entries
        looks = looks_of(list(drawn["configuration"]), characters)
    drawn = drawn.assign(
        colour=_colours(drawn, looks),
        marker="o" if looks is None else drawn["configuration"].map(looks.markers),
        **{name: drawn[name].map(names) for name in ("configuration", "beaten_by")},
    )
    x_better, y_better = (data[f"{axis}_better"].iloc[0] for axis in ("x", "y"))
    front = drawn[drawn["front"]].sort_values("x", ascending=x_better == "min")
    others = drawn[~drawn["front"]].sort_values("x")
    sizes = _areas(drawn["area"])
    _draw_points(axes, others, sizes)
    _draw_points(axes, front, sizes)
    # Joules of different labels are not comparable, so no line connects them.
    for _, members in front.groupby("label", dropna=False):
        steps = strictly_better(members, y_better == "min")
        axes.plot(
            *staircase(steps["x"].to_numpy(float), steps["y"].to_numpy(float)),
            color=COLOURS[0],
            linewidth=0.9,
            linestyle="--",
        )
    for which, name in (("x", x), ("y", y)):
        # Shares are read as percentages, on a linear axis.
        if name == BATCH_SIZE:
            log_axis(axes, which, sorted(drawn[which].unique()))  # these double
        elif _spans(drawn[which]) and "fraction" not in label_of(name):
            log_axis(axes, which)
        else:
            plain_axis(axes, which)
        name_axis(axes, which, _label(data, name))
    key = values_of_key(set(drawn["configuration"]))
    letters = draw_letters(axes, front, others, characters, key and key[1])
    keys = looks.handles if looks else []
    if key:
        keys = [dot(f"at a point: {key[0]}", marker=""), *keys]
    handles = [*letters, *keys, *_other_handles(front, others, "" if looks else "o")]
    beside = _beside_words(front, key[1]) if key else ""
    return finished(figure, handles, f"{_words(data)}{beside} {common}", width)


def strictly_better(front: DataFrame, less_is_better: bool) -> DataFrame:
    """Members of a front, best in x first, that are better in y than all before them.

    Members of a front may differ by less than the uncertainty; a line through all of them would
    zigzag.
    """
    costs = front["y"] if less_is_better else -front["y"]
    before = costs.cummin().shift(fill_value=np.inf)
    return front[costs < before]


def staircase(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The line along a front, as steps from each point to the next; points are in order."""
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]


def _spans(values: Series) -> bool:
    """Whether an axis should be logarithmic: values are positive and span more than a factor 4."""
    return bool(values.min() > 0 and values.max() / values.min() > 4)


def _label(data: DataFrame, name: str) -> str:
    """The axis in words; for joules, money and carbon, with how joules were obtained."""
    label, origin = label_in(name, sample_in(data)), data["labels"].iloc[0]
    if isinstance(origin, str) and "," in origin:
        origin = "by label"
    if isinstance(origin, str) and origin and is_charge(name):
        return label_with(label, origin)
    return label


def _areas(area: Series) -> Series:
    """Areas of points in points squared, in proportion to the column; all equal without one."""
    if area.isna().all() or area.max() <= 0:
        return Series(22.0, index=area.index)
    # The area, not the radius, is in proportion, because that is what the eye compares; 6 points
    # squared is the least that can be seen.
    sizes: Series = (6 + 70 * area.clip(lower=0) / area.max()).fillna(6.0)
    return sizes


def _colours(drawn: DataFrame, looks: Looks | None) -> list[Any]:
    if looks is not None:
        return [looks.colours[name] for name in drawn["configuration"]]
    return [COLOURS[0] if is_front else _BEATEN for is_front in drawn["front"]]


def _draw_points(axes: Axes, rows: DataFrame, sizes: Series) -> None:
    """Draw points in their colours and shapes; a triangle missed its target."""
    if rows.empty:
        return
    # Thousands of bars hide the points, so a large figure has none.
    raster = many(len(rows))
    if not raster:
        known = rows[~rows["missed"]]  # what misses spent has no interval
        draw_bars(axes, known, "x", "y", color=list(known["colour"]), linewidth=0.6, alpha=0.7)
    marker = rows["marker"].where(~rows["off_target"].astype(bool), "^")
    # One call for each shape and colour: scatter has one marker per call.
    for (shape, colour), part in rows.groupby([marker, "colour"], sort=False):
        draw_points(
            axes,
            part["x"],
            part["y"],
            part["num_incomparable"] == 0,
            [colour],
            size=sizes[part.index],
            marker=shape,
            edgecolors=INK if shape == "^" else [colour],
            alpha=0.85,
            rasterized=raster,
        )


def _other_handles(front: DataFrame, others: DataFrame, marker: str) -> list[Line2D]:
    handles: list[Line2D] = []
    if len(front) > MOST_LETTERS:
        more = f"{len(front) - MOST_LETTERS} more on the front"
        handles.append(dot(more, COLOURS[0], marker=marker))
    incomparable = others["num_incomparable"] == others["num_runs"]
    beaten = others[~others["missed"] & ~incomparable]
    if len(front) and len(beaten):
        handles.append(dot(f"beaten by another ({len(beaten)})", _BEATEN, marker=marker))
    whole = concat([front, others])
    num_off_target = int(whole["off_target"].sum())
    if num_off_target:
        handles.append(dot(f"half or more missed their target ({num_off_target})", marker="^"))
    num_incomparable = int((whole["num_incomparable"] > 0).sum())
    if num_incomparable:
        handles.append(dot(f"with incomparable runs ({num_incomparable})", face="white"))
    return handles


def _words(data: DataFrame) -> str:
    words = f"Point: median of {n_words(data['num_runs'])} runs{bars_words(data['num_runs'])}."
    if not data["area"].isna().all():
        low, high = data["area"].min(), data["area"].max()
        span = short_number(low) if low == high else f"{short_number(low)} to {short_number(high)}"
        words += f" Area: {label_of(str(data['area_name'].iloc[0]))}, {span}."
    if any(is_share(name) for name in _axis_names(data)):
        words += " Bars of a share of samples include its sampling error on the split."
    words += _front_words(data)
    if data["label"].nunique() > 1:
        words += " Each label of joules has a front of its own."
    hidden = int(data[["x", "y"]].isna().any(axis=1).sum())
    if hidden:
        words += f" {hidden} configurations missed at an unknown cost and are not drawn."
    if data["missed"].any():
        words += " If half of the runs missed, the point is at what they spent."
    remark = data["remark"].iloc[0]
    if isinstance(remark, str) and remark:
        words += f" {remark}"
    num = int(data["num_without"].iloc[0])
    return words + (f" {num} runs have only one of the two." if num else "")


def _beside_words(front: DataFrame, values: Mapping[str, str]) -> str:
    """The shares of the front, which without letters stand in no legend."""
    shares = [
        f"{values[row['configuration']]} {100 * row['front_share']:.0f}%"
        for row in front.iloc[:MOST_LETTERS].to_dict("records")
        if not np.isnan(row["front_share"])
    ]
    return f" On the front: {', '.join(shares)}." if shares else ""


def _front_words(data: DataFrame) -> str:
    """Explain the front and its shares, or why there are none."""
    settings = [label_of(name) for name in _axis_names(data) if name.startswith(SETTING)]
    if settings:
        return f" No front: {' and '.join(settings)} is a setting, not a result."
    if not data["front"].any():
        return " No front: no run that hit is comparable." if data["num_incomparable"].any() else ""
    words = (
        f" Beaten: worse in one metric beyond the uncertainty ({_uncertainty(data)}), and not"
        " better beyond it in the other."
    )
    if data["num_incomparable"].any():
        words += " Incomparable runs do not affect the front."
    if data.loc[data["front"], "front_share"].notna().any():
        return f"{words} %: share of resamples in which it is on the front."
    return f"{words} Shares of resamples need {MIN_RUNS} runs each."


def _uncertainty(data: DataFrame) -> str:
    """What a difference has to exceed on each axis to count."""
    names = _axis_names(data)
    least = dict.fromkeys(metric_at(name).least_effect_frac for name in names if not is_share(name))
    parts = ["sampling error of the share"] if any(map(is_share, names)) else []
    if least:
        shares = " or ".join(f"{100 * frac:g}%" for frac in least)
        parts.append(f"interval from {MIN_RUNS} runs on, else {shares}")
    return "; ".join(parts)


def _axis_names(data: DataFrame) -> list[str]:
    return [str(data[f"{axis}_name"].iloc[0]) for axis in ("x", "y")]
