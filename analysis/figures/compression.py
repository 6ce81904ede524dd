"""Compression: change of accuracy, or of another quality, against speedup and against size."""

from __future__ import annotations

from matplotlib.axes import Axes
from pandas import DataFrame, Series

from analysis.figures.axes import Canvas, canvas, finished, in_paper_style, many, name_axis, wrapped
from analysis.figures.marks import dot, draw_points, incomparable_handles, range_words
from analysis.figures.prepare import HIGHLIGHTED, NothingToDraw, evenly, serving_runs
from analysis.figures.style import COLOURS, INK, MARKERS, Width
from analysis.load.values import column, numbers
from bench.core.metrics import label_of
from bench.core.quality_rows import TEST


def data_compression(runs: DataFrame) -> DataFrame:
    """Prepare the effect of compression, a row for each run that compressed its model.

    Args:
        runs: As loaded.

    Returns:
        `configuration`, `method`, `change` (of accuracy in percentage points, else of the metric
        of the training's target), `change_of` (which, in words), `speed_up` (factor over the
        uncompressed model) with `speed_up_low` and `speed_up_high` (95% interval over rounds),
        `size_ratio` (compressed / uncompressed), `num_rounds`, `comparable`.

    Raises:
        NothingToDraw: No run compressed its model and recorded the effect.
    """
    served = serving_runs(runs)
    change, words = _changes(served)
    data = DataFrame(
        {
            "configuration": served["configuration"],
            "method": column(served, "compression.method"),
            "change": change,
            "change_of": words,
            # The record has compressed / uncompressed, and a reader expects more to be better.
            "speed_up": 1 / numbers(served, "compression.latency_ratio"),
            # The inverse swaps the ends of an interval.
            "speed_up_low": 1 / numbers(served, "compression.latency_ratio_high"),
            "speed_up_high": 1 / numbers(served, "compression.latency_ratio_low"),
            "size_ratio": numbers(served, "compression.size_bytes")
            / numbers(served, "compression.baseline_size_bytes"),
            "num_rounds": numbers(served, "compression.num_rounds"),
            "comparable": served["comparable"],
        }
    )
    data = data[data["method"].notna() & (data["method"] != "none")]
    data = data.dropna(subset=["change"])
    data = data.dropna(subset=["speed_up", "size_ratio"], how="all")
    if data.empty:
        raise NothingToDraw("no run of bench.serve compressed its model")
    return data.sort_values(["method", "configuration"], ignore_index=True)


def _changes(served: DataFrame) -> tuple[Series, str]:
    """The change of quality of each run, and of which quality, in words."""
    accuracy = numbers(served, "compression.accuracy_change")
    metrics = column(served, "compression.quality_metric").astype(object)
    if accuracy.notna().any() or metrics.isna().all():
        return 100 * accuracy, "accuracy (percentage points)"
    metric = metrics.mode().iloc[0]
    change = numbers(served, "compression.quality_change").where(metrics == metric)
    return change, label_of(f"{TEST}.{metric}")


@in_paper_style
def draw_compression(data: DataFrame, *, width: Width = "one") -> Canvas:
    """Draw what `data_compression` gives."""
    columns = 1 if width == "one" else 2
    height_in = 1.8 if width == "one" else 2.4
    figure, panels = canvas(width, height_in, num=2, columns=columns, sharey=True)
    methods = sorted(data["method"].unique())
    shown = evenly(methods, HIGHLIGHTED)
    for place, method in enumerate(methods):
        rows = data[data["method"] == method]
        # Number 7 is grey: with too many methods, none has a colour of its own.
        colour = place if len(methods) == len(shown) else 7
        _draw_method(panels[0], rows, "speed_up", colour, len(data))
        _draw_method(panels[1], rows, "size_ratio", colour, len(data))
    for axes in panels:
        axes.axhline(0, color=INK, linewidth=0.7, linestyle=(0, (2, 2)))
        axes.axvline(1, color=INK, linewidth=0.7, linestyle=(0, (2, 2)))
        # The panels are low, so a line of the label has little room.
        name_axis(axes, "y", f"change of {data['change_of'].iloc[0]}", 20)
    panels[0].set_xlabel("speedup (uncompressed / compressed latency)")
    panels[1].set_xlabel("size (compressed / uncompressed)")
    handles = [
        dot(
            f"{wrapped(method, 40)}  n = {(data['method'] == method).sum()}",
            COLOURS[place],
            marker=MARKERS[place],
        )
        for place, method in enumerate(shown)
    ]
    return finished(figure, handles + incomparable_handles(data), _words(data), width)


def _draw_method(axes: Axes, rows: DataFrame, x: str, place: int, total: int) -> None:
    colour = COLOURS[place]
    if x == "speed_up" and not many(total):
        axes.hlines(
            rows["change"],
            rows["speed_up_low"],
            rows["speed_up_high"],
            color=colour,
            linewidth=0.8,
        )
    style = {"marker": MARKERS[place], "rasterized": many(total)}
    draw_points(axes, rows[x], rows["change"], rows["comparable"], colour, size=22, **style)


def _words(data: DataFrame) -> str:
    rounds = data["num_rounds"].dropna()
    over = f" over {range_words(rounds.astype(int))} rounds" if len(rounds) else ""
    return (
        f"Point: a run; bar: 95% interval{over}, each timing compressed and uncompressed in turn. "
        "Dashed: no change."
    )
