"""Figures by name: their data from what was loaded, and the drawing of it.

The modules of the figures are imported when the first of them is drawn.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from analysis.figures.catalogue import FIGURES, TRADEOFF, Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from analysis.style import Width


class Frames:
    """The runs, and their long frames, each read when it is first asked for."""

    def __init__(self, runs: DataFrame) -> None:
        """Nothing is read.

        Args:
            runs: As loaded.
        """
        self.runs = runs
        self._read: dict[tuple[Any, ...], DataFrame] = {}

    def long(self, name: str, pick: str | None = None, **options: Any) -> DataFrame:
        """A long frame of all runs, or of those that `pick` chooses."""
        key = (name, pick, tuple(options.items()))
        if key not in self._read:
            from analysis import load

            runs = function_of(pick)(self.runs, **options) if pick else self.runs
            self._read[key] = getattr(load, f"load_{name}")(runs)
        return self._read[key]


@cache
def function_of(path: str) -> Callable[..., Any]:
    """A function of analysis.figures by `module:name`."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"analysis.figures.{module}"), name)
    return function


def require_figures(names: Sequence[str], key: str = "figures") -> None:
    """Refuse names that no figure has.

    Raises:
        ValueError: One is unknown; the message names it and those that are like it.
    """
    known = [*FIGURES, TRADEOFF]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(close)}?" if close else f"one of {', '.join(known)}"
            raise ValueError(f"{key}={name}: no such figure; {hint}")


def figure_data(
    name: str, frames: Frames, *, run: str | None = None, options: Mapping[str, Any] | None = None
) -> DataFrame:
    """The tidy frame that a figure is drawn from.

    Args:
        name: Of FIGURES, or `tradeoff` with x, y and perhaps area in the options.
        frames: What was loaded.
        run: The run of a timeline.
        options: Keywords of the data function, beside the figure's own.

    Raises:
        NothingToDraw: The runs do not hold what the figure shows.
        ValueError: There is no such figure.
    """
    require_figures([name])
    entry = _entry(name)
    picked = {"run": run} if run is not None and entry.pick == "timeline:pick_run" else {}
    runs = frames.runs
    if entry.pick == "timeline:pick_run":
        runs = function_of(entry.pick)(runs, **picked)
    long = [frames.long(need, entry.pick, **picked) for need in entry.needs]
    data: DataFrame = function_of(entry.data)(runs, *long, **entry.options, **(options or {}))
    return data


def draw_figure(name: str, data: DataFrame, width: Width) -> Figure:
    """Draw a figure from its tidy frame, as `figure_data` gave it or as it was read back.

    Raises:
        ValueError: There is no such figure.
    """
    require_figures([name])
    figure: Figure = function_of(_entry(name).draw)(data, width=width)
    return figure


def _entry(name: str) -> Entry:
    if name == TRADEOFF:
        return Entry(
            title="any two metrics of the record",
            data="tradeoff:data_tradeoff",
            draw="tradeoff_draw:draw_tradeoff",
        )
    return FIGURES[name]
