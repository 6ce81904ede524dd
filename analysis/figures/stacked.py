"""Bars of parts that add up, one for each configuration: of wall time, energy and latency."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from pandas import DataFrame

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, wrapped
from analysis.figures.marks import n_words, write_beside
from analysis.figures.prepare import evenly
from analysis.figures.style import COLOURS, HATCHES, INK, Width, short_names, short_number

_BARS = 16  # configurations that fit one above the other


def stacked(runs: DataFrame, long: DataFrame, order: list[str]) -> DataFrame:
    """Means of the parts of each configuration: only means of parts add up to that of the whole.

    Args:
        runs: With `run_id`, `configuration`, `comparable` and, of trainings, `outcome`.
        long: `run_id`, `part`, `value`: what each part took in each run. A part that a run has no
            row of is one that it did not have; leave out runs of which a part is not known.
        order: Configurations from top to bottom; where there are too many, an even choice.

    Returns:
        Rows per configuration and part, in order: `configuration`, `part`, `mean`, `total_low`,
        `total_high` (range of the runs' sums), `num_runs`, `num_reached` (missing where there was
        no target), `num_incomparable`, `num_configurations`.
    """
    shown = evenly(order, _BARS)
    columns = [
        name for name in ("run_id", "configuration", "comparable", "outcome") if name in runs
    ]
    long = long.merge(runs[columns], on="run_id")
    long = long[long["configuration"].isin(shown)]
    sums = long.groupby(["configuration", "run_id"])["value"].sum().groupby("configuration")
    members = long.drop_duplicates("run_id").set_index("configuration")
    facts = DataFrame({"total_low": sums.min(), "total_high": sums.max(), "num_runs": sums.size()})
    if "outcome" in members:
        reached = (members["outcome"] == "reached").groupby(level=0).sum()
        facts["num_reached"] = reached.astype(float)
    else:
        facts["num_reached"] = np.nan
    facts["num_incomparable"] = (~members["comparable"].astype(bool)).groupby(level=0).sum()
    parts = list(dict.fromkeys(long["part"]))
    sums_of_parts = long.groupby(["configuration", "part"])["value"].sum().unstack(fill_value=0)
    means = sums_of_parts.reindex(index=shown, columns=parts, fill_value=0.0)
    means = means.div(facts["num_runs"].reindex(shown), axis=0)
    means.index.name = "configuration"
    data = means.reset_index().melt("configuration", var_name="part", value_name="mean")
    place = {name: n for n, name in enumerate(shown)}
    data = data.sort_values("configuration", key=lambda names: names.map(place), kind="stable")
    data = data.merge(facts, on="configuration", how="left")
    return data.assign(num_configurations=len(order))


@in_paper_style
def draw_stacked(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw bars from what `stacked` gives, with `axis` (words and unit), `label` and `remark`.

    A part whose label is `modelled` is hatched.
    """
    names = list(dict.fromkeys(data["configuration"]))
    short, common = short_names(names)
    labels = [_bar_name(data, name, short[name], 26 if width == "one" else 56) for name in names]
    lines = sum(label.count("\n") + 1 for label in labels)
    figure, (axes,) = canvas(width, 0.55 + 0.115 * lines + 0.07 * len(names))
    places = np.arange(len(names))[::-1]
    left = np.zeros(len(names))
    handles = []
    for place, part in enumerate(dict.fromkeys(data["part"])):
        rows = data[data["part"] == part].set_index("configuration").reindex(names)
        if not rows["mean"].any():
            continue
        modelled = bool((rows["label"] == "modelled").any())
        style: dict[str, Any] = {
            "facecolor": COLOURS[place % len(COLOURS)],
            "hatch": "////" if modelled else HATCHES[place % len(HATCHES)].replace("////", "--"),
            "edgecolor": INK,
            "linewidth": 0.4,
        }
        axes.barh(places, rows["mean"], left=left, height=0.7, **style)
        left += rows["mean"].to_numpy(dtype=float)
        handles.append(Patch(label=str(part), **style))
    _ranges(axes, data, names, places)
    ends = data.groupby("configuration")["total_high"].first().reindex(names)
    for place, total, end in zip(places, left, ends, strict=True):
        at = max(total, end), place
        write_beside(axes, short_number(total), at, (3, 0), va="center", fontsize=5.5)
    axes.margins(x=0.12)
    axes.set_yticks(places, labels, fontsize=6)
    axes.grid(visible=False, axis="y")
    axes.set_xlim(left=0)
    axes.set_xlabel(str(data["axis"].iloc[0]))
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
        words += " k/n: runs that reached the target; of the others too, all they took."
    if (data["label"] == "modelled").any():
        words += " Slanted hatches: modelled, not measured."
    remark, num = data["remark"].iloc[0], int(data["num_configurations"].iloc[0])
    if isinstance(remark, str) and remark:
        words += f" {remark}"
    if num > len(first):
        words += f" {len(first)} of {num} configurations, evenly from best to worst."
    return words
