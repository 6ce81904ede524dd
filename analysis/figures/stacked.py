"""Stacked bars, one for each configuration: parts of wall time, energy or latency."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from pandas import DataFrame, MultiIndex

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, name_axis, wrapped
from analysis.figures.axis_units import in_unit
from analysis.figures.marks import n_words, write_beside
from analysis.figures.prepare import evenly
from analysis.figures.style import COLOURS, HATCHES, INK, SMALL_PT, Width, short_names, short_number

_LEAST_IN = 1.0  # for a single bar, above a label of two lines
_LINE_IN = 0.13  # height of a line of type
_GAP, _BAR = 0.6, 1.12  # between two bars, and the thickness of a bar, in lines of type
_MOST_BARS = 16  # configurations that fit one above the other


def stacked(runs: DataFrame, long: DataFrame, order: list[str]) -> DataFrame:
    """Compute the mean of each part; unlike medians, means of parts add up to that of the whole.

    Args:
        runs: With `run_id`, `configuration`, `comparable` and, for trainings, `outcome`.
        long: `run_id`, `part`, `value`. A part without a row counts as 0 in that run, so the caller
            leaves out runs with an unknown part.
        order: Configurations from top to bottom; if there are too many, an even choice is shown.

    Returns:
        Rows per configuration and part, in order: `configuration`, `part`, `mean`, `total_low`,
        `total_high` (range of the runs' sums), `num_runs`, `num_reached` (missing without a
        target), `num_incomparable`, `num_configurations`.
    """
    shown = evenly(order, _MOST_BARS)
    columns = [
        name for name in ("run_id", "configuration", "comparable", "outcome") if name in runs
    ]
    long = long.merge(runs[columns], on="run_id")
    long = long[long["configuration"].isin(shown)]
    sums = long.groupby(["configuration", "run_id"])["value"].sum().groupby("configuration")
    # One row per run: the runs that have any part.
    members = long.drop_duplicates("run_id").set_index("configuration")
    reached = members["outcome"] == "reached" if "outcome" in members else None
    facts = DataFrame(
        {
            "total_low": sums.min(),
            "total_high": sums.max(),
            "num_runs": sums.size(),
            "num_reached": np.nan if reached is None else reached.groupby(level=0).sum() * 1.0,
            "num_incomparable": (~members["comparable"].astype(bool)).groupby(level=0).sum(),
        }
    )
    every = MultiIndex.from_product([shown, dict.fromkeys(long["part"])])
    every.names = ["configuration", "part"]
    # Divide the sum by all runs: a run without the part counts with 0, not as missing.
    part_sums = long.groupby(every.names)["value"].sum().reindex(every, fill_value=0.0)
    means = part_sums.div(facts["num_runs"], level="configuration")
    data = means.rename("mean").reset_index().merge(facts, on="configuration", how="left")
    return data.assign(num_configurations=len(order))


@in_paper_style
def draw_stacked(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `stacked` gives, with the columns `axis` (words and unit), `label` and `remark`.

    A part with the label `modelled` has slanted hatches.
    """
    size, axis_label = in_unit(data["total_high"], str(data["axis"].iloc[0]))
    data = data.assign(**{name: data[name] / size for name in ("mean", "total_low", "total_high")})
    names = list(dict.fromkeys(data["configuration"]))
    short, common = short_names(names)
    labels = [_bar_name(data, name, short[name], 26 if width == "one" else 56) for name in names]
    # In lines of type: each bar has the room of its label, and a gap.
    rooms = np.array([label.count("\n") + 1 + _GAP for label in labels])
    figure, (axes,) = canvas(width, max(_LEAST_IN, 0.55 + _LINE_IN * rooms.sum()))
    places = rooms.sum() - (np.cumsum(rooms) - rooms / 2)
    left = np.zeros(len(names))
    handles = []
    for place, part in enumerate(dict.fromkeys(data["part"])):
        rows = data[data["part"] == part].set_index("configuration").reindex(names)
        # A part that is 0 everywhere would only be an entry of the legend.
        if not rows["mean"].any():
            continue
        modelled = bool((rows["label"] == "modelled").any())
        style: dict[str, Any] = {
            "facecolor": COLOURS[place % len(COLOURS)],
            # Slanted hatches are reserved for what was modelled.
            "hatch": "////" if modelled else HATCHES[place % len(HATCHES)].replace("////", "--"),
            "edgecolor": INK,
            "linewidth": 0.4,
        }
        axes.barh(places, rows["mean"], left=left, height=_BAR, **style)
        left += rows["mean"].to_numpy(dtype=float)
        handles.append(Patch(label=str(part), **style))
    _ranges(axes, data, names, places)
    ends = data.groupby("configuration")["total_high"].first().reindex(names)
    for place, total, end in zip(places, left, ends, strict=True):
        where = max(total, end), place
        write_beside(axes, short_number(total), where, (3, 0), va="center", fontsize=SMALL_PT)
    axes.margins(x=0.12)
    axes.set_ylim(0, rooms.sum())
    axes.set_yticks(places, labels, fontsize=SMALL_PT)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    name_axis(axes, "x", axis_label, 34 if width == "one" else None)  # names take half the width
    return finished(figure, handles, f"{_words(data)} {common}", width)


def _ranges(axes: Axes, data: DataFrame, names: list[str], places: Any) -> None:
    first = data.drop_duplicates("configuration").set_index("configuration").reindex(names)
    several = (first["num_runs"] > 1).to_numpy()
    low, high = first["total_low"].to_numpy(), first["total_high"].to_numpy()
    axes.hlines(places[several], low[several], high[several], color="black", linewidth=1.0)


def _bar_name(data: DataFrame, name: str, short: str, characters: int) -> str:
    row = data[data["configuration"] == name].iloc[0]
    hits = "" if np.isnan(row["num_reached"]) else f"  {row['num_reached']:.0f}/{row['num_runs']}"
    incomparable = f"  ({row['num_incomparable']} incomparable)" if row["num_incomparable"] else ""
    return wrapped(f"{short}{hits}{incomparable}", characters)


def _words(data: DataFrame) -> str:
    first = data.drop_duplicates("configuration")
    words = f"Bars: means of {n_words(first['num_runs'])} runs; line: range of the runs' sums."
    if first["num_reached"].notna().any():
        words += " k/n: runs that reached the target; the others count with all they used."
    if (data["label"] == "modelled").any():
        words += " Slanted hatches: modelled, not measured."
    remark, num = data["remark"].iloc[0], int(data["num_configurations"].iloc[0])
    if isinstance(remark, str) and remark:
        words += f" {remark}"
    if num > len(first):
        words += f" {len(first)} of {num} configurations, evenly from best to worst."
    return words
