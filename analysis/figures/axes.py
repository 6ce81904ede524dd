"""What every figure has: canvas, axes, legend, and the words of its caption."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import ParamSpec

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from analysis.figures.axis_units import TickNumbers, fit_units
from analysis.figures.caption import set_caption
from analysis.figures.style import Width, paper_style, width_in

_P = ParamSpec("_P")
# What a figure is drawn on: a whole figure, or its panel in a larger one.
Canvas = Figure | SubFigure
_HEIGHT_IN = {"one": 2.3, "two": 3.0}
_PER_INCH, _MOST_CHARACTERS = 16, 110  # characters of a line of a legend
_TITLE_PER_INCH, _FEWEST = 10, 12  # characters of a line above a panel
_LABEL_CHARACTERS = {"x": 50, "y": 32}  # of a line of an axis label
_MOST_VECTOR_POINTS = 2000
_EQUALS = "\u00a0=\u00a0"
_STEPS = [1, 2, 5, 10]  # three digits are then enough for the exact value of a tick


def in_paper_style(function: Callable[_P, Canvas]) -> Callable[_P, Canvas]:
    """Draw with the settings of a paper, and restore the previous ones."""

    @wraps(function)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> Canvas:
        with paper_style():
            return function(*args, **kwargs)

    return styled


@dataclass(slots=True)
class Panel:
    """A panel of a larger figure.

    Attributes:
        figure: What is drawn on.
        height_in: The height that its axes, its legend and its title need.
        later: What to do once all panels are drawn, so that the height of each is known.
    """

    figure: SubFigure
    height_in: float = 0.0
    later: list[Callable[[], None]] = field(default_factory=list)


_PANEL: ContextVar[Panel | None] = ContextVar("panel", default=None)


@contextmanager
def drawing_on(panel: Panel) -> Iterator[None]:
    """Let `canvas` return this panel of a larger figure while the context lasts."""
    token = _PANEL.set(panel)
    try:
        yield
    finally:
        _PANEL.reset(token)


def once_height_is_known(function: Callable[[], None]) -> None:
    """Do what depends on the height of a figure: now, or once the panel has its height."""
    panel = _PANEL.get()
    if panel is None:
        function()
    else:
        panel.later.append(function)


def canvas(
    width: Width,
    height_in: float | None = None,
    *,
    num: int = 1,
    columns: int = 1,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Canvas, list[Axes]]:
    """Make a figure without a window, with its axes from left to right and top to bottom.

    Args:
        width: Of one or two columns of a paper.
        height_in: Height of a row of axes in inches, by default that of a line chart.
        num: Number of axes.
        columns: Number of axes side by side.
        sharex: Whether all axes have one x axis.
        sharey: Whether all axes have one y axis.

    Raises:
        ValueError: There is no such width.
    """
    across_in = width_in(width)
    # Rounds up: the last row may have fewer axes than columns.
    rows = -(-num // columns)
    height_in = rows * (height_in or _HEIGHT_IN[width])
    panel = _PANEL.get()
    if panel is None:
        # Not pyplot, whose figures stay in memory until someone closes them.
        figure: Canvas = Figure(figsize=(across_in, height_in), layout="constrained")
    else:
        figure = panel.figure
        panel.height_in += height_in
    grid = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    for surplus in grid.ravel()[num:]:
        surplus.remove()
    return figure, list(grid.ravel()[:num])


def log_axis(
    axes: Axes, which: str, values: Sequence[float] | None = None, *, most: int = 8
) -> None:
    """Make an axis logarithmic, with few ticks in plain numbers; linear if all data are 0.

    Args:
        axes: Axes to change.
        which: x or y.
        values: Ticks at exactly these values, such as sizes that double. By default, ticks are at
            1, 2 and 5 of a short range and at powers of ten of a long one.
        most: Number of values that there is room for.
    """
    # The smallest positive value of the data; infinite if no value is positive.
    least = axes.dataLim.minposx if which == "x" else axes.dataLim.minposy
    if axes.has_data() and not np.isfinite(least):
        plain_axis(axes, which)  # no value is above 0, as when runs cost nothing
        return
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    # Minor ticks of a short log axis would get labels of their own, which overlap.
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(TickNumbers(is_log=True))
    if values is not None:
        axis.set_major_locator(FixedLocator(_thinned(sorted(values), most)))
        return
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    decades = np.log10(high / low) if low > 0 else 3.0
    if decades < 0.9:
        # A log axis this short would have no ticks, so use those of a linear one.
        axis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    else:
        # Four to seven ticks, however many decades the data span.
        subs = (1.0, 2.0, 5.0) if decades < 1.8 else (1.0, 3.0) if decades < 3 else (1.0,)
        axis.set_major_locator(LogLocator(10, subs=subs, numticks=7))


def name_axis(axes: Axes, which: str, label: str, characters: int | None = None) -> None:
    """Label an axis; a long label, such as one of a user's own metric, gets several lines.

    Args:
        axes: Axes to label.
        which: x or y.
        label: The label with its unit.
        characters: Of a line, where there is less room than usual.
    """
    set_label = axes.set_xlabel if which == "x" else axes.set_ylabel
    set_label(wrapped(label, characters or _LABEL_CHARACTERS[which]))


def plain_axis(axes: Axes, which: str) -> None:
    """Make an axis linear, with few ticks."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(6, steps=_STEPS))


def _thinned(values: list[float], most: int) -> list[float]:
    step = -(-len(values) // most)
    return values[::step]


def finished(figure: Canvas, handles: Sequence[Artist], words: str, width: Width) -> Canvas:
    """Choose the units of the axes, add the legend, and keep the words for the caption."""
    once_height_is_known(lambda: fit_units(figure.axes))
    legend_below(figure, handles, width)
    set_caption(figure, words)
    return figure


def legend_below(figure: Canvas, handles: Sequence[Artist], width: Width) -> None:
    """Add a legend below the axes, never over the data; long names get a line each.

    The figure grows by the height of the legend, so the axes keep their size.
    """
    if not handles:
        return
    texts = [str(handle.get_label()) for handle in handles]
    # Seven characters of room for the mark before the text and the gap after it.
    longest = max(len(line) for text in texts for line in text.splitlines()) + 7
    columns = max(1, min(4, len(handles), int(width_in(width) * 18.5) // longest))
    rows = -(-len(handles) // columns)
    # Inches per line of the legend's type, measured on figures of one and two columns.
    _grow(figure, 0.135 * max(sum(text.count("\n") + 1 for text in texts) / columns, rows) + 0.1)
    figure.legend(handles=list(handles), loc="outside lower left", ncols=columns, borderaxespad=0.2)


def _grow(figure: Canvas, by_in: float) -> None:
    panel = _PANEL.get()
    if panel is not None:
        panel.height_in += by_in
    elif isinstance(figure, Figure):
        figure.set_figheight(figure.get_figheight() + by_in)


def many(number: int) -> bool:
    """Whether that many points would make a vector file too large for a viewer."""
    return number > _MOST_VECTOR_POINTS


def wrapped(text: str, characters: int) -> str:
    """Break a name into lines at spaces, and a word that is too long at a dot, sign or dash."""
    whole = text.replace(" = ", _EQUALS)  # no line ends within `n = 2`
    pieces = [piece for word in whole.split(" ") for piece in _pieces(word, characters)]
    filled = textwrap.fill(" ".join(pieces), characters, break_on_hyphens=False)
    return filled.replace(_EQUALS, " = ")


def legend_name(text: str, width: Width) -> str:
    """Break the name of a configuration into lines that fit a legend."""
    return wrapped(text, min(_MOST_CHARACTERS, int(_PER_INCH * width_in(width))))


def panel_name(text: str, width: Width, columns: int) -> str:
    """Break the title of a panel into lines that fit above its axes.

    Args:
        text: The title.
        width: Of the figure.
        columns: Panels side by side. A part of each is taken by labels or a colour bar.
    """
    return wrapped(text, max(_FEWEST, int(_TITLE_PER_INCH * width_in(width) / columns)))


def _pieces(word: str, characters: int) -> list[str]:
    """Split a word to fit a line: a key at its dots, else before its value, else anywhere."""
    pieces: list[str] = []
    while len(word) > characters:
        line = word[:characters]
        key = line.partition("=")[0]
        # In order of preference: a key and its value stay together as long as possible.
        places = (key.rfind("."), line.rfind("="), max(line.rfind(sign) for sign in "_-/"))
        place = next((place + 1 for place in places if place > 0), characters)
        pieces.append(word[:place])
        word = word[place:]
    return [*pieces, word]
