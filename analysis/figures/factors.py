"""The two factors of the cost: samples to the target, and seconds or joules per sample.

Their product is the time or energy to the target: all points on one slanted line cost the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, Series

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, log_axis, many, wrapped
from analysis.figures.axis_units import short_quantity
from analysis.figures.by_configuration import variants
from analysis.figures.keyed import shades
from analysis.figures.marks import (
    bars_words,
    dot,
    draw_bars,
    draw_points,
    n_words,
    paired_medians,
    write_beside,
)
from analysis.figures.prepare import (
    NothingToDraw,
    energy_labels,
    evenly,
    spent_quantity,
    trained_for,
)
from analysis.figures.quantities import cost_label, counted_costs, label_in, sample_in, sample_of
from analysis.figures.style import INK, MARKERS, SMALL_PT, Width, short_number
from analysis.load.values import numbers
from bench.core.metric import Quantity
from bench.core.metrics import METRICS
from bench.core.scales import SCALES

_PER_SAMPLE: dict[Quantity, str] = {
    "time_s": "target.time_per_sample_s",
    "energy_j": "target.energy_per_sample_j",
}
_MOST_KINDS = len(MARKERS)  # each has a shape of its own


def data_factors(runs: DataFrame, *, quantity: Quantity = "time_s") -> DataFrame:
    """Prepare samples to the target and cost per sample: medians per configuration.

    A run that missed counts as infinite in samples; its cost per sample is known nevertheless.

    Args:
        runs: As loaded.
        quantity: time_s or energy_j.

    Returns:
        A row for each configuration: `configuration`, `architecture`, `kind` (what distinguishes it
        from others of its batch size), `batch_size`, `samples`, `samples_low`, `samples_high`,
        `per_sample`, `per_sample_low`, `per_sample_high`, `missed` (whether the median run missed:
        samples are then those that it used), `num_runs`, `num_reached`, `num_incomparable`,
        `quantity`, `energy_label`, `sample` (of the task).

    Raises:
        NothingToDraw: No run has the factors.
    """
    trained = trained_for(runs, quantity)
    cost = spent_quantity(trained, quantity)
    per_sample = numbers(trained, _PER_SAMPLE[quantity])
    samples = numbers(trained, "target.samples_to_target")
    known = DataFrame(
        {
            "configuration": trained["configuration"],
            "architecture": trained["architecture"],
            "kind": _kinds(trained),
            "batch_size": numbers(trained, "config.batch_size"),
            "samples": samples.fillna(cost["value"] / per_sample),
            "per_sample": per_sample,
            "bound": cost["bound"],
            "comparable": trained["comparable"],
        }
    )
    complete = known[["samples", "per_sample"]].notna().all(axis=1)
    if not complete.any():
        raise NothingToDraw(f"no run has samples to target and {_PER_SAMPLE[quantity]}")
    known = known[complete | (known["bound"] & counted_costs(trained, cost, quantity))]
    data = _cells(known).dropna(subset=["samples", "per_sample"])
    facts = {"energy_label": energy_labels(trained), "sample": sample_of(trained)}
    return data.assign(quantity=quantity, **facts)


def _cells(known: DataFrame) -> DataFrame:
    """Medians of each configuration; that of the cost per sample is over the runs that have one."""
    # A miss only bounds the samples; the cost of each sample is known all the same.
    known = known.assign(samples_bound=known["bound"], per_sample_bound=False)
    data = paired_medians(known, "samples", "per_sample")
    data["missed"] = data["samples"].isna()
    groups = known.groupby("configuration")
    data["samples"] = data["samples"].fillna(groups["samples"].median())
    names = ["architecture", "kind", "batch_size"]
    data[names] = groups[names].first()
    return data.reset_index()


@in_paper_style
def draw_factors(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_factors` gives."""
    quantity: Quantity = data["quantity"].iloc[0]
    figure, (axes,) = canvas(width, 2.4 if width == "one" else 3.2)
    kinds = evenly(
        list(dict.fromkeys(data.sort_values(["architecture", "kind"])["kind"])), _MOST_KINDS
    )
    sizes = sorted(data["batch_size"].dropna().unique())
    colours = dict(zip(sizes, shades(len(sizes)), strict=True))
    raster = many(len(data))
    if not raster:
        of_bars = [colours.get(size, INK) for size in data["batch_size"]]
        draw_bars(axes, data, "samples", "per_sample", color=of_bars, linewidth=0.7)
    # One call for each shape and colour: scatter has one marker per call.
    for (kind, size), rows in data.groupby(["kind", "batch_size"], dropna=False):
        marker = MARKERS[kinds.index(kind)] if kind in kinds else "."
        _draw_cell(axes, rows, colours.get(size, INK), marker, raster=raster)
    log_axis(axes, "x")
    log_axis(axes, "y")
    _iso_lines(axes, METRICS[_PER_SAMPLE[quantity]].unit)
    axes.set_xlabel(label_in("target.samples_to_target", sample_in(data)))
    axes.set_ylabel(cost_label(data, _PER_SAMPLE))
    return finished(figure, _handles(data, kinds, colours, width), _words(data), width)


def _kinds(runs: DataFrame) -> Series:
    """The meaning of a point's shape: the architecture, and whatever else differs."""
    rates = numbers(runs, "config.lr")
    if rates.nunique() < 2:
        return variants(runs)
    names = rates.map(lambda rate: "" if np.isnan(rate) else f" lr {short_number(rate)}")
    return variants(runs) + names


def _draw_cell(axes: Axes, rows: DataFrame, colour: Any, marker: str, *, raster: bool) -> None:
    for missed in (False, True):
        part = rows[rows["missed"] == missed]
        draw_points(
            axes,
            part["samples"],
            part["per_sample"],
            part["num_incomparable"] == 0,
            [colour],
            size=20,
            marker=">" if missed else marker,
            edgecolors=INK if missed else [colour],
            rasterized=raster,
        )


def _iso_lines(axes: Axes, unit: str) -> None:
    """Draw lines of equal product at 1, 3 and 10 of every decade, each with its value."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    low, high = np.log10(left * bottom), np.log10(right * top)
    # Lines at 3 as well, unless there are so many decades that the lines would be a grid.
    steps = (0.0,) if high - low > 4 else (0.0, np.log10(3.0))
    for decade in range(int(np.floor(low)), int(np.ceil(high)) + 1):
        for step in steps:
            product = 10 ** (decade + step)
            # It would only cut a corner, without room for its value.
            if not low + 0.1 < np.log10(product) < high - 0.1:
                continue
            axes.plot(
                [left, right],
                [product / left, product / right],
                color="0.75",
                linewidth=0.6,
                linestyle=":",
                zorder=0,
            )
            _name_line(axes, product, (left, right), (bottom, top), unit)
    # Drawing the lines has widened the limits.
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _name_line(
    axes: Axes, product: float, xs: tuple[float, float], ys: tuple[float, float], unit: str
) -> None:
    """Write the value of a line where it leaves the axes, at the top or on the left."""
    at_top = product / ys[1] > xs[0]
    place = (product / ys[1], ys[1]) if at_top else (xs[0], product / xs[0])
    style = {"fontsize": SMALL_PT, "color": "0.45", "va": "top", "zorder": 1}
    write_beside(axes, short_quantity(product, SCALES[unit][1]), place, (2, -2), **style)


def _handles(
    data: DataFrame, kinds: list[str], colours: dict[float, Any], width: Width
) -> list[Line2D]:
    handles = [dot(wrapped(kind, 50), marker=MARKERS[place]) for place, kind in enumerate(kinds)]
    if data["kind"].nunique() > len(kinds):
        handles.append(dot(f"{data['kind'].nunique() - len(kinds)} others", marker="."))
    for size in evenly(list(colours), 6 if width == "one" else 8):
        handles.append(dot(f"batch {short_number(size)}", colours[size]))
    if data["batch_size"].isna().any() and colours:
        handles.append(dot("batch not recorded"))
    marks = (
        (">", "half or more missed", data["missed"].astype(bool)),
        ("o", "with incomparable runs", data["num_incomparable"] > 0),
    )
    for marker, label, which in marks:
        if which.any():
            handles.append(dot(f"{label} ({int(which.sum())})", marker=marker, face="white"))
    return handles


def _words(data: DataFrame) -> str:
    num = data["num_runs"]
    words = (
        f"Point: median of {n_words(num)} runs{bars_words(num)}. Dotted: equal cost to the target."
    )
    if data["missed"].any():
        words += " If half of the runs missed, samples are those that they used."
    return words
