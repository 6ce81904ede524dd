"""Prepares and draws figures by name.

Functions are imported when the first figure is drawn, so a wrong name of a figure is refused
without waiting for the plotting libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from analysis.figures.entries import DEPLOYMENTS, FIGURES, TRADEOFF, Entry, entry_of
from bench.core.suggest import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from analysis.load.records import Lists
    from analysis.stats.peers import Group

# Groups that several figures share.
_SHARED = ("panels:trainings", "panels:servings", "panels:hosts", DEPLOYMENTS)


class Frames:
    """The runs, their long frames and their groups, each made when it is first needed."""

    def __init__(
        self, runs: DataFrame, lists: Lists | None = None, history: DataFrame | None = None
    ) -> None:
        """Keep the runs, as loaded, and perhaps their lists; nothing else is read yet.

        Nobody may change the runs any more.

        Args:
            runs: As loaded.
            lists: Of the same records.
            history: Of load_history; None for none.
        """
        from analysis.load.history import load_history
        from analysis.load.once import settle

        self.runs = settle(runs)
        self._lists = lists or {}
        self._long = {"history": load_history(None) if history is None else history}
        self._places: Mapping[str, int] | None = None
        self._groups: dict[str, list[Group]] = {}

    def long(self, name: str, runs: DataFrame | None = None) -> DataFrame:
        """Read a long frame of all runs, which is kept, or of some of them."""
        if runs is None and name in self._long:
            return self._long[name]
        from analysis.load import runs as load
        from analysis.load.records import LISTS

        read = getattr(load, f"load_{name}")
        if name in LISTS:
            read = partial(read, lists=self._lists)
        if runs is not None:
            return read(runs)  # type: ignore[no-any-return]
        self._long[name] = read(self.runs)
        return self._long[name]

    def places(self) -> Mapping[str, int]:
        """The place of each configuration in the palette, for all figures of these runs."""
        if self._places is None:
            from analysis.figures.looks import places_of

            trainings = [group.runs for group in self.groups("panels:trainings", {})]
            self._places = places_of(self.runs, trainings)
        return self._places

    def groups(self, path: str, options: Mapping[str, Any]) -> list[Group]:
        """Group the runs with a function; most figures share the groups of panels."""
        if path not in _SHARED:
            return function_of(path)(self.runs, **options)  # type: ignore[no-any-return]
        from analysis.load.once import settle

        if path not in self._groups:
            self._groups[path] = function_of(path)(self.runs)
            for group in self._groups[path]:
                settle(group.runs)
        return self._groups[path]


@cache
def function_of(path: str) -> Callable[..., Any]:
    """A function of analysis.figures by `module:name`."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"analysis.figures.{module}"), name)
    return function


def figure_titles() -> dict[str, str]:
    """What each figure shows, in one line, by its name."""
    return {name: entry_of(name).title for name in (*FIGURES, TRADEOFF)}


def require_figures(
    names: Sequence[str], key: str = "figures", *, also: Sequence[str] = ()
) -> None:
    """Refuse names that no figure has, except for some.

    Raises:
        ValueError: One is unknown; the message names it and similar names.
    """
    known = [*also, *FIGURES, TRADEOFF]
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
        run: Run ID of a timeline.
        options: Keywords of the data function, in addition to the figure's own.

    Raises:
        NothingToDraw: The runs do not hold what the figure shows.
        ValueError: There is no such figure.
    """
    require_figures([name])
    entry = entry_of(name)
    keywords = {**entry.options, **(options or {})}
    if entry.groups is None:
        return _data(entry, frames, frames.runs, {} if run is None else {"run": run}, keywords)
    from analysis.figures.panels import panel_data

    groups = frames.groups(entry.groups, keywords)
    return panel_data(frames.runs, groups, lambda runs: _data(entry, frames, runs, {}, keywords))


def figure_runs(
    name: str,
    frames: Frames,
    data: DataFrame,
    *,
    run: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> DataFrame:
    """The runs that a figure was drawn from, for its caption; empty if it does not show runs.

    Args:
        name: As for figure_data.
        frames: As for figure_data.
        data: Of figure_data, with these arguments.
        run: As for figure_data.
        options: As for figure_data.
    """
    entry = entry_of(name)
    if entry.groups is None:
        picked = {} if run is None else {"run": run}
        if entry.pick is None:
            return frames.runs.iloc[:0]
        chosen: DataFrame = function_of(entry.pick)(frames.runs, **picked)
        return chosen
    groups = frames.groups(entry.groups, {**entry.options, **(options or {})})
    if "group" in data:  # groups without a panel are named in the caption
        groups = [group for group in groups if group.title in set(data["group"])]
    from pandas import concat

    runs = concat([group.runs for group in groups])
    if entry.pick is not None:
        runs = function_of(entry.pick)(runs)
    return runs


def _data(
    entry: Entry,
    frames: Frames,
    runs: DataFrame,
    picked: Mapping[str, Any],
    keywords: Mapping[str, Any],
) -> DataFrame:
    """The data of some runs; the entry may select a few whose long frames are read."""
    chosen = None
    if entry.pick is not None:
        # Reading the requests of every run could take gigabytes, and a figure shows a few runs.
        chosen = function_of(entry.pick)(runs, **picked)
        runs = chosen if entry.groups is None else runs
    long = [frames.long(need, chosen) for need in entry.needs]
    data: DataFrame = function_of(entry.data)(runs, *long, **keywords)
    return data


def draw_figure(name: str, data: DataFrame, width: str) -> Figure:
    """Draw a figure from its tidy frame, from `figure_data` or read back from a file.

    Args:
        name: Of FIGURES, or `tradeoff`.
        data: What it shows.
        width: Of WIDTH_IN: one or two columns, or those of a template.

    Raises:
        ValueError: There is no such figure, or no such width.
    """
    from analysis.figures.style import template

    require_figures([name])
    draw = function_of(entry_of(name).draw)
    with template(width) as layout:
        if "group" not in data:
            figure: Figure = draw(data, width=layout)
            return figure
        from analysis.figures.panels import draw_panels

        whole: Figure = draw_panels(data, draw, layout)  # type: ignore[assignment]  # no panel itself
        return whole
