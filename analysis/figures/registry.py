"""Figures by name: their data from what was loaded, and the drawing of it.

The modules of the figures are imported when the first of them is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from analysis.figures.catalogue import FIGURES, TRADEOFF, Entry
from bench.core.suggest import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from analysis.figures.style import Width


class Frames:
    """The runs, and their long frames, each read when it is first asked for."""

    def __init__(self, runs: DataFrame) -> None:
        """Nothing is read.

        Args:
            runs: As loaded.
        """
        self.runs = runs
        self._read: dict[str, DataFrame] = {}

    def long(self, name: str, runs: DataFrame | None = None) -> DataFrame:
        """A long frame of all runs, which is kept, or of some of them."""
        from analysis.load import runs as load

        read = getattr(load, f"load_{name}")
        if runs is not None:
            return read(runs)  # type: ignore[no-any-return]
        if name not in self._read:
            self._read[name] = read(self.runs)
        return self._read[name]


@cache
def function_of(path: str) -> Callable[..., Any]:
    """A function of analysis.figures by `module:name`."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"analysis.figures.{module}"), name)
    return function


def figure_titles() -> dict[str, str]:
    """What each figure shows, in a line, by its name."""
    return {name: _entry(name).title for name in (*FIGURES, TRADEOFF)}


def require_figures(names: Sequence[str], key: str = "figures") -> None:
    """Refuse names that no figure has.

    Raises:
        ValueError: One is unknown; the message names it and those that are like it.
    """
    known = [*FIGURES, TRADEOFF]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"; one of {', '.join(known)}"
            raise ValueError(f"{key}={name}: no such figure{hint}")


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
    keywords = {**entry.options, **(options or {})}
    if entry.groups is None:
        return _data(entry, frames, frames.runs, {} if run is None else {"run": run}, keywords)
    from analysis.figures.panels import panel_data

    found = function_of(entry.groups)(frames.runs, **keywords)
    return panel_data(frames.runs, found, lambda own: _data(entry, frames, own, {}, keywords))


def _data(
    entry: Entry,
    frames: Frames,
    runs: DataFrame,
    picked: Mapping[str, Any],
    keywords: Mapping[str, Any],
) -> DataFrame:
    """The data of some runs, of which long frames may be read of a few alone."""
    chosen = None
    if entry.pick is not None:
        chosen = function_of(entry.pick)(runs, **picked)
        runs = chosen if entry.groups is None else runs
    long = [frames.long(need, chosen) for need in entry.needs]
    data: DataFrame = function_of(entry.data)(runs, *long, **keywords)
    return data


def draw_figure(name: str, data: DataFrame, width: Width) -> Figure:
    """Draw a figure from its tidy frame, as `figure_data` gave it or as it was read back.

    Raises:
        ValueError: There is no such figure.
    """
    require_figures([name])
    draw = function_of(_entry(name).draw)
    if "group" not in data:
        figure: Figure = draw(data, width=width)
        return figure
    from analysis.figures.panels import draw_panels

    whole: Figure = draw_panels(data, draw, width)  # type: ignore[assignment]  # no panel itself
    return whole


def _entry(name: str) -> Entry:
    if name == TRADEOFF:
        return Entry(
            title="any two metrics of the record",
            data="tradeoff:data_tradeoff",
            draw="tradeoff_draw:draw_tradeoff",
            groups="tradeoff:compared",
        )
    return FIGURES[name]
