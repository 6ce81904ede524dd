"""Time or energy to target as a map of learning rate and batch size, with misses hatched."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator
from pandas import DataFrame

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, panel_name, wrapped
from analysis.figures.axis_units import in_unit
from analysis.figures.batch_size import MOST_PANELS, sweep_runs, without_words
from analysis.figures.marks import medians, n_words
from analysis.figures.prepare import evenly
from analysis.figures.quantities import cost_label, label_in, sample_in
from analysis.figures.style import INK, SMALL_PT, Width, short_number
from bench.core.metric import Quantity
from bench.core.metrics import label_of

_MAP = "cividis_r"  # readable in grey, and with every kind of colour vision
_MOST_WRITTEN = {"one": 6, "two": 12}  # columns of cells with room for a number
_MOST_CELLS = 40  # rows or columns that a reader can tell apart
# Room for the label of the colours: characters per inch of height, what is below the maps, and the
# shortest line.
_PER_INCH, _BELOW_IN, _FEWEST = 15, 0.6, 10


def data_heatmap(runs: DataFrame, *, quantity: Quantity = "time_s") -> DataFrame:
    """Prepare the median cost of every cell of learning rate x batch size, by architecture.

    Returns:
        A row for each cell that was tried: `architecture`, `lr`, `batch_size`, `value` (missing if
        half of the runs or more missed), `low`, `high`, `num_runs`, `num_reached`,
        `num_incomparable`, `quantity`, `energy_label`, `sample`, `num_architectures`,
        `num_without` (runs that are left out), `without` (which, as a text).

    Raises:
        NothingToDraw: No run has a batch size and a known cost.
    """
    known = sweep_runs(runs, quantity)
    names = sorted(known["architecture"].unique())
    shown = known[known["architecture"].isin(evenly(names, MOST_PANELS))]
    # Thin rates and sizes out, not cells, so that the table stays complete.
    for key in ("lr", "batch_size"):
        shown = shown[shown[key].isin(evenly(sorted(shown[key].unique()), _MOST_CELLS))]
    cells = medians(shown, ["architecture", "lr", "batch_size"], "value")
    return cells.assign(
        quantity=quantity,
        energy_label=shown["energy_label"].iloc[0],
        sample=shown["sample"].iloc[0],
        num_architectures=len(names),
        num_without=known["num_without"].iloc[0],
        without=known["without"].iloc[0],
    )


@in_paper_style
def draw_heatmap(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_heatmap` gives."""
    names = sorted(data["architecture"].unique())
    columns = 1 if width == "one" else min(2, len(names))
    height_in = 0.75 + 0.3 * min(data["lr"].nunique(), 10)
    figure, panels = canvas(width, height_in, num=len(names), columns=columns)
    size, label = in_unit(data["value"], cost_label(data))
    data = data.assign(value=data["value"] / size)
    values = data["value"].dropna()
    low, high = (values.min(), values.max()) if len(values) else (1.0, 1.0)
    # Costs differ by factors. Equal limits would divide by zero.
    norm = LogNorm(low, high if high > low else low * 1.01)
    # The first row of a heatmap is at the top, where the largest rate belongs.
    rates = sorted(data["lr"].unique(), reverse=True)
    sizes = sorted(data["batch_size"].unique())
    for axes, name in zip(panels, names, strict=True):
        _draw_panel(axes, data[data["architecture"] == name], rates, sizes, norm, width, columns)
        axes.set_title(panel_name(name, width, columns))
    if high > low:
        room = int(_PER_INCH * (-(-len(names) // columns) * height_in - _BELOW_IN))
        lines = wrapped(label, max(_FEWEST, room))
        bar = figure.colorbar(ScalarMappable(norm, _MAP), ax=panels, label=lines)
        bar.ax.yaxis.set_minor_locator(NullLocator())
        # The ends and the middle of the log scale; by default a short scale has no tick at all.
        bar.set_ticks(sorted({low, float(np.sqrt(low * high)), high}))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    missed = Patch(facecolor="white", edgecolor=INK, hatch="////", label="half or more missed")
    handles = [missed] if data["value"].isna().any() else []
    writes = len(sizes) <= _MOST_WRITTEN[width] / columns
    return finished(figure, handles, _words(data, label, writes=writes), width)


def _draw_panel(
    axes: Axes,
    data: DataFrame,
    rates: list[float],
    sizes: list[float],
    norm: LogNorm,
    width: Width,
    columns: int,
) -> None:
    """Draw one architecture: coloured cells, hatched misses, and numbers if there is room."""
    import seaborn as sns  # takes half a second, and no other figure needs it

    table = data.pivot(index="lr", columns="batch_size", values="value")
    table = table.reindex(index=rates, columns=sizes)
    sns.heatmap(
        table,
        ax=axes,
        cmap=_MAP,
        norm=norm,
        vmin=norm.vmin,  # otherwise seaborn computes it, and warns if all cells missed
        vmax=norm.vmax,
        cbar=False,
        linewidths=0.5,
        linecolor="white",
    )
    axes.grid(visible=False)
    writes = len(sizes) <= _MOST_WRITTEN[width] / columns
    for row in data.itertuples():
        across, down = sizes.index(row.batch_size), rates.index(row.lr)  # type: ignore[arg-type]
        if np.isnan(row.value):  # type: ignore[arg-type]
            axes.add_patch(
                Rectangle(
                    (across, down), 1, 1, fill=False, hatch="////", edgecolor=INK, linewidth=0
                )
            )
        if writes:
            _write_cell(axes, across, down, row, norm)
    _name_cells(axes.xaxis, sizes, 6 if width == "one" else 12 // columns)
    _name_cells(axes.yaxis, rates, 12)
    axes.set_xlabel(label_in("config.batch_size", sample_in(data)))
    axes.set_ylabel(label_of("config.lr"))


def _name_cells(axis: Axis, values: list[float], most: int) -> None:
    """Put at most `most` ticks in the middle of cells, evenly spaced."""
    places = range(0, len(values), -(-len(values) // most))
    names = [short_number(values[place]) for place in places]
    axis.set_ticks([place + 0.5 for place in places], labels=names, rotation=0)


def _write_cell(axes: Axes, across: int, down: int, row: object, norm: LogNorm) -> None:
    hits = f"{row.num_reached}/{row.num_runs}"  # type: ignore[attr-defined]
    value = row.value  # type: ignore[attr-defined]
    missed = bool(np.isnan(value))
    text = hits if missed else short_number(value)
    if not missed and row.num_reached < row.num_runs:  # type: ignore[attr-defined]
        text += f"\n{hits}"
    if row.num_incomparable:  # type: ignore[attr-defined]
        text += "*"
    # Black on the dark half of the colours would not be readable.
    dark = not missed and norm(value) > 0.5
    box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    axes.text(
        across + 0.5,
        down + 0.5,
        text,
        ha="center",
        va="center",
        fontsize=SMALL_PT,
        color="white" if dark else "black",
        bbox=box if missed else None,
    )


def _words(data: DataFrame, label: str, *, writes: bool) -> str:
    words = (
        f"Cell: median {label} of {n_words(data['num_runs'])} runs, a miss counting as infinite; "
        "white: not tried."
    )
    if writes:
        words += " k/n: runs that reached the target, where not all did."
    num_incomparable = int(data["num_incomparable"].sum())
    if num_incomparable:
        words += (
            f" {'*: with' if writes else 'With'} {num_incomparable} runs that are not comparable."
        )
    num = int(data["num_architectures"].iloc[0])
    few = f" {MOST_PANELS} of {num} architectures." if num > MOST_PANELS else ""
    return words + few + without_words(data)
