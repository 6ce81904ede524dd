"""Time or energy against the rungs of the ladder: what each further step of quality costs."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame

from analysis.figures.axes import (
    Canvas,
    canvas,
    finished,
    in_paper_style,
    legend_name,
    log_axis,
    name_axis,
)
from analysis.figures.lines import draw_grey
from analysis.figures.looks import Look, looks
from analysis.figures.marks import bars_words, best_words, draw_points, grey_handles, medians
from analysis.figures.prepare import (
    NothingToDraw,
    counted_name,
    counts,
    drawn,
    energy_labels,
    quality_label,
    ranked,
    spent_quantity,
    trained_for,
)
from analysis.figures.quantities import cost_label, counted_costs
from analysis.figures.style import Width, short_names
from analysis.load.values import column
from bench.core.metric import Quantity


def data_ladder(runs: DataFrame, ladder: DataFrame, *, quantity: Quantity = "time_s") -> DataFrame:
    """Prepare the median cost of each rung; a run that did not reach a rung counts as infinite.

    Args:
        runs: As loaded.
        ladder: Rungs of these runs.
        quantity: time_s or energy_j.

    Returns:
        Rows per configuration and rung: `configuration`, `rung`, `value` (missing if half of the
        runs missed it), `low`, `high`, `num_runs`, `num_reached`, `hits` (of the target) and
        `incomparable` runs of the configuration, `shown` (`line` or `grey`), `num_configurations`,
        `metric` and `mode` (of the configuration's target), `quantity`, `energy_label`.

    Raises:
        NothingToDraw: No run has a rung.
    """
    trained = trained_for(runs, quantity)
    cost = spent_quantity(trained, quantity)
    # Without a meter, neither hits nor misses have joules; counting only the misses is unfair.
    trained = trained[counted_costs(trained, cost, quantity)]
    known = _known_rungs(trained, ladder, quantity)
    present = set(known["configuration"])
    order = [name for name in ranked(trained) if name in present]
    shown = drawn(order)
    known = known[known["configuration"].isin(list(shown))]
    data = medians(known, ["configuration", "rung"], quantity).rename(columns={quantity: "value"})
    data = data.sort_values(  # from best to worst; medians are sorted by name and rung
        "configuration", key=lambda names: names.map(order.index), kind="stable", ignore_index=True
    )
    totals = counts(trained)
    targets = trained.assign(mode=column(trained, "target.mode")).groupby("configuration").first()
    return data.assign(
        hits=data["configuration"].map(totals["num_reached"]),
        incomparable=data["configuration"].map(totals["num_incomparable"]),
        shown=data["configuration"].map(shown),
        num_configurations=len(order),
        metric=data["configuration"].map(targets["target.metric"]),
        mode=data["configuration"].map(targets["mode"]),
        quantity=quantity,
        energy_label=energy_labels(trained),
    )


def _known_rungs(trained: DataFrame, ladder: DataFrame, quantity: Quantity) -> DataFrame:
    """The rungs that each run reached at a known cost, or did not reach (`bound`)."""
    rows = ladder.merge(trained[["run_id", "configuration", "comparable"]], on="run_id")
    # An empty merge has columns of type object, which `~` cannot negate.
    rows["bound"] = ~rows["reached"].astype(bool) if len(rows) else False
    known = rows[rows["bound"] | rows[quantity].notna()] if len(rows) else rows
    if known.empty or known["bound"].all():
        raise NothingToDraw(f"no run reached a rung with a known {quantity}")
    return known.rename(columns={"value": "rung"})


@in_paper_style
def draw_ladder(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_ladder` gives."""
    figure, (axes,) = canvas(width)
    # Rungs crowd towards the best quality, so they are drawn evenly spaced. The hardest is on the
    # right: the smallest one if less is better.
    rungs = sorted(data["rung"].unique(), reverse=column(data, "mode").iloc[0] == "min")
    data = data.assign(place=data["rung"].map({rung: n for n, rung in enumerate(rungs)}))
    draw_grey(axes, data, "place", "value")
    best = data[data["shown"] == "line"]
    names, common = short_names(data["configuration"])
    handles = []
    groups = list(best.groupby("configuration", sort=False))
    shown = looks(name for name, _ in groups)
    for place, (name, rows) in enumerate(groups):
        # Side by side, so that bars of different configurations do not cover one another.
        dodge = 0.06 * (place - (len(groups) - 1) / 2)
        handles.append(_draw_line(axes, names[str(name)], rows, shown[str(name)], dodge, width))
    log_axis(axes, "y")
    axes.set_xticks(range(len(rungs)), [f"{rung:g}" for rung in rungs])
    name_axis(axes, "x", f"rung: {quality_label(data['metric'])}")
    axes.set_ylabel(cost_label(data).replace("to target", "to the rung"))
    handles += grey_handles(data, len(groups))
    words = f"{_words(best)} {best_words(data, len(groups))} {common}"
    return finished(figure, handles, words, width)


def _draw_line(
    axes: Axes, name: str, rows: DataFrame, look: Look, dodge: float, width: Width
) -> Line2D:
    colour, across = look.colour, rows["place"] + dodge
    top = rows["high"].fillna(rows["value"])
    axes.vlines(across, rows["low"], top, color=colour, linewidth=0.8, alpha=0.8)
    (line,) = axes.plot(across, rows["value"], color=colour, linestyle=look.line)
    whole = rows["num_reached"] == rows["num_runs"]
    draw_points(axes, across, rows["value"], whole, colour, size=16, marker=look.marker)
    first = rows.iloc[0]
    label = counted_name(name, first["num_runs"], first["hits"], first["incomparable"])
    line.set(label=legend_name(label, width))
    return Line2D(
        [],
        [],
        color=colour,
        linestyle=look.line,
        marker=look.marker,
        markersize=4,
        label=line.get_label(),
    )


def _words(best: DataFrame) -> str:
    words = (
        f"Point: median over the runs{bars_words(best['num_runs'])}. k/n: runs that reached the "
        "target."
    )
    if (best["num_reached"] < best["num_runs"]).any():
        words += " Hollow: some runs missed the rung; no point: half or more missed it."
    return words + " Rungs are evenly spaced."
