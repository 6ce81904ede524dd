"""Draws one metric against another, with the front that no configuration beats."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame, Series

from analysis.figures.axes import (
    canvas,
    in_paper_style,
    legend_below,
    log_axis,
    many,
    note,
    plain_axis,
    wrapped,
)
from analysis.figures.marks import bars_words, n_words
from analysis.figures.names import short_names
from analysis.figures.tradeoff import data_tradeoff, direction
from analysis.pareto import Floats
from analysis.style import COLOURS, INK, Width, label_of, short_number

_LABELLED = 8  # points of the front that get a letter
_OFFSETS = ((3.5, 3.5), (-9.0, -9.0), (3.5, -9.0), (-9.0, 3.5))  # points; beside, not over


@in_paper_style
def draw_tradeoff(data: DataFrame, *, width: Width = "one") -> Figure:
    """Draw what `data_tradeoff` gives."""
    x, y = str(data["x_name"].iloc[0]), str(data["y_name"].iloc[0])
    figure, (axes,) = canvas(width, 2.4 if width == "one" else 3.2)
    sizes = _areas(data["area"])
    front = data[data["front"]]
    ordered = front.sort_values("x", ascending=direction(x) == "min")
    dominated = data[~data["front"] & ~data["missed"]]
    vain = data[data["missed"]]
    _draw_points(axes, dominated, sizes, "0.55")
    _draw_points(axes, front, sizes, COLOURS[0])
    axes.scatter(
        vain["x"], vain["y"], s=16, marker="^", facecolors="none", edgecolors=INK, linewidths=0.8
    )
    for _, steps in ordered.groupby("label", dropna=False):
        axes.plot(
            *staircase(steps["x"].to_numpy(float), steps["y"].to_numpy(float)),
            color=COLOURS[0],
            linewidth=0.9,
            linestyle="--",
        )
    for which, name in (("x", x), ("y", y)):
        if _spans(data[which]) and "fraction" not in label_of(name):
            log_axis(axes, which)
        else:
            plain_axis(axes, which)
        getattr(axes, f"set_{which}label")(_label(data, name))
    names, common = short_names(ordered["configuration"])
    letters = _letters(
        axes,
        ordered.assign(configuration=ordered["configuration"].map(names)),
        50 if width == "one" else 100,
    )
    handles = [*letters, *_other_handles(data, dominated, vain)]
    legend_below(figure, handles, width)
    note(figure, f"{_words(data)} {common}".strip(), width)
    return figure


def staircase(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The line along a front, whose points are in order: each reaches to where the next begins."""
    return np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1]


def _spans(values: Series) -> bool:
    """Whether values are positive and spread over more than a factor of four: a log axis."""
    return bool(values.min() > 0 and values.max() / values.min() > 4)


def _label(data: DataFrame, name: str) -> str:
    """The axis in words; joules, and what follows from them, with how they were obtained."""
    label, how = label_of(name), data["labels"].iloc[0]
    if isinstance(how, str) and "," in how:
        how = "by label"
    if isinstance(how, str) and how and name.endswith(("_j", "_usd", "_gco2e")):
        return f"{label.removesuffix(')')}, {how})" if label.endswith(")") else f"{label} ({how})"
    return label


def _areas(area: Series) -> Series:
    """Areas of points in points squared, in proportion to the column; all alike without one."""
    if area.isna().all():
        return Series(22.0, index=area.index)
    sizes: Series = (6 + 70 * area / area.max()).fillna(6.0)
    return sizes


def _draw_points(axes: Axes, rows: DataFrame, sizes: Series, colour: str) -> None:
    if rows.empty:
        return
    raster = many(len(rows))
    if not raster:
        for axis, lines in (("x", axes.hlines), ("y", axes.vlines)):
            other = "y" if axis == "x" else "x"
            low, high = rows[f"{axis}_low"], rows[f"{axis}_high"].fillna(rows[axis])
            lines(rows[other], low, high, color=colour, linewidth=0.6, alpha=0.7)
    fit = rows["num_unfit"] == 0
    for part, face in ((rows[fit], colour), (rows[~fit], "white")):
        axes.scatter(
            part["x"],
            part["y"],
            s=sizes[part.index],
            facecolors=face,
            edgecolors=colour,
            linewidths=0.8,
            alpha=0.85,
            rasterized=raster,
            zorder=3,
        )


def _letters(axes: Axes, ordered: DataFrame, characters: int) -> list[Line2D]:
    """Letters beside the points of the front, and what they stand for."""
    handles: list[Line2D] = []
    for letter, row in zip("ABCDEFGH", ordered.to_dict("records"), strict=False):
        axes.annotate(
            letter,
            (row["x"], row["y"]),
            xytext=_OFFSETS[len(handles) % len(_OFFSETS)],
            textcoords="offset points",
            fontsize=7,
            fontweight="bold",
            color=COLOURS[0],
            zorder=4,
        )
        text = (
            f"{row['configuration'] or 'all runs'}  n = {row['num_runs']}, "
            f"{100 * row['front_share']:.0f}%"
        )
        handles.append(
            Line2D(
                [],
                [],
                linestyle="",
                marker=f"${letter}$",
                color=COLOURS[0],
                label=wrapped(text, characters),
            )
        )
    return handles


def _other_handles(data: DataFrame, dominated: DataFrame, vain: DataFrame) -> list[Line2D]:
    num_front = int(data["front"].sum())
    handles: list[Line2D] = []
    if num_front > _LABELLED:
        handles.append(_dot(COLOURS[0], f"{num_front - _LABELLED} more on the front"))
    if len(dominated):
        handles.append(_dot("0.55", f"beaten by another ({len(dominated)})"))
    if len(vain):
        handles.append(
            Line2D(
                [],
                [],
                linestyle="",
                marker="^",
                color=INK,
                markerfacecolor="none",
                label=f"half or more missed ({len(vain)})",
            )
        )
    num_unfit = int((data["num_unfit"] > 0).sum())
    if num_unfit:
        handles.append(_dot(INK, f"with unfit runs ({num_unfit})", "white"))
    return handles


def _dot(colour: str, label: str, face: str | None = None) -> Line2D:
    return Line2D(
        [], [], linestyle="", marker="o", color=colour, markerfacecolor=face or colour, label=label
    )


def _words(data: DataFrame) -> str:
    words = f"Point: median of {n_words(data['num_runs'])} runs{bars_words(data['num_runs'])}."
    if not data["area"].isna().all():
        low, high = data["area"].min(), data["area"].max()
        span = short_number(low) if low == high else f"{short_number(low)} to {short_number(high)}"
        words += f" Area: {label_of(str(data['area_name'].iloc[0]))}, {span}."
    if data["num_runs"].max() == 1:
        words += " One run each: the front's shares say nothing of the spread."
    num = int(data["num_without"].iloc[0])
    if data["front"].any():
        words += " %: share of resamples in which it is on the front."
    if data["label"].nunique() > 1:
        words += " A front for each way in which joules were obtained."
    if data[["x", "y"]].isna().any(axis=None):
        num = int(data[["x", "y"]].isna().any(axis=1).sum())
        words += f" {num} configurations missed at a cost that is not known, and are not drawn."
    if data["missed"].any():
        words += " Where half missed: what was spent in vain."
    remark = data["remark"].iloc[0]
    if isinstance(remark, str) and remark:
        words += f" {remark}"
    return words + (f" {num} runs lack one of the two." if num else "")


def figure_tradeoff(
    runs: DataFrame, *, x: str, y: str, area: str | None = None, width: Width = "one"
) -> Figure:
    """Any two metrics of the record, per configuration, with the front.

    Raises:
        NothingToDraw: No run has both.
    """
    return draw_tradeoff(data_tradeoff(runs, x=x, y=y, area=area), width=width)
