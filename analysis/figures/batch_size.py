"""Time or energy to target against batch size, by learning rate and architecture."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pandas import DataFrame, Series, concat

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, log_axis, panel_name
from analysis.figures.by_configuration import variants
from analysis.figures.marks import MARK_NOTE, bars_words, draw_runs, mark_handles, medians, n_words
from analysis.figures.prepare import (
    NothingToDraw,
    energy_labels,
    evenly,
    spent_quantity,
    trained_for,
)
from analysis.figures.quantities import cost_label, counted_costs, label_in, sample_in, sample_of
from analysis.figures.style import COLOURS, LINES, MARKERS, Width, short_number
from analysis.load.values import column, numbers
from bench.core.metric import Quantity

MOST_PANELS = 4  # architectures
_MOST_LISTED = 3  # configurations that are left out
_MOST_RATES = 6  # learning rates that a reader can tell apart
_CELL = ["architecture", "lr", "batch_size"]


def sweep_runs(runs: DataFrame, quantity: Quantity) -> DataFrame:
    """Collect what each run of a sweep over batch sizes and learning rates spent.

    Returns:
        `architecture` (with whatever else differs, see variants), `lr`, `batch_size`, `value`,
        `bound`, `outcome`, `comparable`, `energy_label`, `sample` (of the task),
        `num_without` (runs that are left out) and `without` (which, as a text).
        `value` is missing for runs that did not reach the target and whose cost is unknown.

    Raises:
        NothingToDraw: No run has a batch size and a known cost.
    """
    trained = trained_for(runs, quantity)
    cost = spent_quantity(trained, quantity)
    table = DataFrame(
        {
            "architecture": variants(trained),
            "lr": numbers(trained, "config.lr"),
            "batch_size": numbers(trained, "config.batch_size"),
            "value": cost["value"],
            "bound": cost["bound"],
            "outcome": trained["outcome"],
            "comparable": trained["comparable"],
            "energy_label": energy_labels(trained),
            "sample": sample_of(trained),
        }
    )
    # A run without one of the two, such as one of a user's own configuration, has no cell.
    in_cells = table[["batch_size", "lr"]].notna().all(axis=1)
    in_cells &= counted_costs(trained, cost, quantity)
    if not table["value"][in_cells].notna().any():
        raise NothingToDraw(f"no run has batch_size, lr and {quantity}")
    left_out = trained.loc[~in_cells, "configuration"].value_counts(sort=False)
    return table[in_cells].assign(num_without=int(left_out.sum()), without=_listed(left_out))


def _listed(nums: Series) -> str:
    """Configurations with their numbers of runs: `lit (2), own (1) and 3 more configurations`."""
    named = ", ".join(f"{name} ({num})" for name, num in nums.iloc[:_MOST_LISTED].items())
    more = len(nums) - _MOST_LISTED
    return f"{named} and {more} more configurations" if more > 0 else named


def data_batch_size(runs: DataFrame, *, quantity: Quantity = "time_s") -> DataFrame:
    """Prepare the cost of reaching the target at each batch size.

    Args:
        runs: As loaded.
        quantity: time_s or energy_j.

    Returns:
        Rows of two kinds. `kind` is `run`: one run, with `value`, `bound`, `outcome`, `comparable`.
        `kind` is `median`: one cell of the sweep, with `value`, `low`, `high` over its runs, misses
        counting as infinite, so `value` is missing if half of them missed; `num_runs`,
        `num_reached`. All have `architecture`, `lr`, `batch_size`, `quantity`, `energy_label`,
        `sample`, `num_without`, `without`, the numbers of architectures and rates, and
        `empty` (architectures of which no run has a point, as a text).

    Raises:
        NothingToDraw: No run has a batch size and a known cost.
    """
    known = sweep_runs(runs, quantity)
    # A panel without a point would only take room.
    has_point = known["value"].gt(0).groupby(known["architecture"]).any()
    empty = sorted(has_point.index[~has_point])
    known = known[~known["architecture"].isin(empty)]
    if known.empty:
        raise NothingToDraw(f"no run with batch_size and lr has a {quantity} above 0")
    names, rates = sorted(known["architecture"].unique()), sorted(known["lr"].unique())
    shown = known[
        known["architecture"].isin(evenly(names, MOST_PANELS))
        & known["lr"].isin(evenly(rates, _MOST_RATES))
    ]
    # The median of costs, not of hits alone: a cell where most runs missed has no cheap median.
    cells = medians(shown, _CELL, "value").assign(
        kind="median",
        energy_label=shown["energy_label"].iloc[0],
        sample=shown["sample"].iloc[0],
    )
    # Every run is drawn as well, since a median of three runs hides how far apart they are.
    singles = shown.drop(columns=["num_without", "without"]).assign(kind="run")
    return concat([cells, singles], ignore_index=True).assign(
        quantity=quantity,
        num_architectures=len(names),
        num_learning_rates=len(rates),
        num_without=known["num_without"].iloc[0],
        without=known["without"].iloc[0],
        empty=", ".join(empty),
    )


@in_paper_style
def draw_batch_size(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_batch_size` gives."""
    names = sorted(data["architecture"].unique())
    columns = min(len(names), 2 if width == "one" else 4)
    shared = {"sharex": True, "sharey": True}
    figure, panels = canvas(width, 2.2, num=len(names), columns=columns, **shared)
    rates = sorted(data["lr"].unique())
    for axes, name in zip(panels, names, strict=True):
        _draw_panel(axes, data[data["architecture"] == name], rates)
        axes.set_title(panel_name(name, width, columns))
    panels[0].margins(x=0.1)
    room = 8 if width == "one" or columns < 3 else 6
    sizes = sorted(data["batch_size"].unique())
    # One panel is enough: all of them share both axes.
    log_axis(panels[0], "x", sizes, most=room if columns == 1 or width == "two" else 5)
    log_axis(panels[0], "y")
    label = cost_label(data)
    for place, axes in enumerate(panels):
        if place + columns >= len(names):
            axes.set_xlabel(label_in("config.batch_size", sample_in(data)))
            axes.tick_params(labelbottom=True)
        if place % columns == 0:
            axes.set_ylabel(label)
    single = _placed(data[data["kind"] == "run"])
    handles = [
        Line2D([], [], **_style(place), label=f"lr {short_number(rate)}")
        for place, rate in enumerate(rates)
    ]
    return finished(figure, [*handles, *mark_handles(single)], _words(data), width)


def _style(place: int) -> dict[str, Any]:
    return {
        "color": COLOURS[place],
        "linestyle": LINES[place],
        "marker": MARKERS[place],
        "markersize": 4,
    }


def _draw_panel(axes: Axes, data: DataFrame, rates: list[float]) -> None:
    for place, rate in enumerate(rates):
        # Side by side, so that points of different rates at one size do not cover one another.
        dodge = 2 ** (0.16 * (place - (len(rates) - 1) / 2))
        rows = data[data["lr"] == rate]
        rows = rows.assign(place=rows["batch_size"] * dodge)
        cells = rows[rows["kind"] == "median"].sort_values("batch_size")
        style = _style(place)
        axes.plot(
            cells["place"], cells["value"], color=style["color"], linestyle=style["linestyle"]
        )
        # A missing upper end is infinite (half of the runs missed), so the bar ends at the median.
        top = cells["high"].fillna(cells["value"])
        axes.vlines(cells["place"], cells["low"], top, color=style["color"], linewidth=0.8)
        draw_runs(
            axes,
            _placed(rows[rows["kind"] == "run"]),
            "place",
            "value",
            colour=style["color"],
            marker=str(style["marker"]),
        )


def _placed(singles: DataFrame) -> DataFrame:
    """Runs that fit on a logarithmic axis; one that failed before its clock started does not."""
    return singles[singles["value"] > 0]


def _words(data: DataFrame) -> str:
    cells = data[data["kind"] == "median"]
    words = (
        f"Point: a run; line: median of {n_words(cells['num_runs'].astype(int))} runs, a miss "
        f"counting as infinite{bars_words(cells['num_runs'])}. {MARK_NOTE}"
    )
    num = int(data["num_architectures"].iloc[0])
    if num > MOST_PANELS:
        words += f" {MOST_PANELS} of {num} architectures are shown."
    num = int(data["num_learning_rates"].iloc[0])
    if num > _MOST_RATES:
        words += f" {_MOST_RATES} of {num} learning rates are shown."
    singles = data[data["kind"] == "run"]
    hidden = len(singles) - len(_placed(singles))
    if hidden:
        words += f" {hidden} runs that failed at no cost or an unknown cost have no point."
    empty = column(data, "empty").iloc[0]  # missing in tables of former versions
    if isinstance(empty, str) and empty:
        words += f" No run of {empty} has a point."
    return words + without_words(data)


def without_words(data: DataFrame) -> str:
    """Which runs are left out; empty if none."""
    num = int(data["num_without"].iloc[0])
    if not num:
        return ""
    return (
        f" {num} runs without a batch size, a learning rate or a meter are left out: "
        f"{data['without'].iloc[0]}."
    )
