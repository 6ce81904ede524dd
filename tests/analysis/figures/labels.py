"""Looks for labels of axes that a figure cuts off."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def cut_labels(figure: Figure) -> list[str]:
    """The labels of axes that end outside of a figure, which has been laid out and drawn."""
    renderer = figure._get_renderer()  # type: ignore[attr-defined]
    whole = figure.bbox.padded(1.0)  # pixels
    labels = [axis.label for axes in figure.findobj(Axes) for axis in (axes.xaxis, axes.yaxis)]
    ends = [(label.get_text(), label.get_window_extent(renderer)) for label in labels]
    return [
        text
        for text, box in ends
        if text and not all(whole.contains(x, y) for x, y in (box.min, box.max))
    ]
