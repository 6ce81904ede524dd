"""Figures by name: what data each needs, how it is prepared, and how it is drawn.

Functions are given by name and imported when the first figure is drawn, so a wrong name of a figure
is refused without waiting for the plotting libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.core.suggest import did_you_mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from analysis.figures.style import Width
    from analysis.stats.peers import Group

_TRAININGS, _SERVINGS = "panels:trainings", "panels:servings"
_DEPLOYMENTS = "deployments:deployment_peers"
_QUANTITIES = (("time", "time_s"), ("energy", "energy_j"), ("cost", "cost_usd"))
# In place of a column: the main quality of the runs that are drawn, which their target names.
MAIN = "main quality"
# Its axes have to be given, so it is not among the figures of a report.
TRADEOFF = "tradeoff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One figure.

    Attributes:
        title: What it shows, in one line.
        data: `module:function` of analysis.figures, from the runs and the long frames of `needs` to
            a tidy frame.
        draw: `module:function` from that frame to a figure.
        needs: Long frames: load_<name> of analysis.load.runs.
        groups: `module:function` from all runs to groups of peers, one for each panel; None if all
            runs are drawn together.
        options: Keywords of the data function; `groups` gets them too, unless it is in panels.
        pick: `module:function` that selects the runs whose long frames are read, if the figure does
            not show all runs.
    """

    title: str
    data: str
    draw: str
    needs: tuple[str, ...] = ()
    groups: str | None = _TRAININGS
    options: Mapping[str, Any] = field(default_factory=dict)
    pick: str | None = None


def _path(verb: str, name: str) -> str:
    module, _, function = name.partition(":")
    return f"{module}:{verb}_{function or module}"


def _entry(title: str, name: str, draw: str | None = None, **more: Any) -> Entry:
    """The entry of `module:data_name` and `module:draw_name`; without `:`, name is the module."""
    return Entry(title=title, data=_path("data", name), draw=_path("draw", draw or name), **more)


def _both(module: str, title: str, **more: Any) -> dict[str, Entry]:
    """One figure for time and one for energy."""
    return {
        f"{module}_{short}": _entry(
            title.format(short), module, options={"quantity": quantity}, **more
        )
        for short, quantity in _QUANTITIES[:2]
    }


def _tradeoff(title: str, **options: str | None) -> Entry:
    more = {"groups": "tradeoff:tradeoff_peers", "options": options}
    return _entry(title, "tradeoff", "tradeoff_draw:tradeoff", **more)


def _served(title: str, x: str, y: str = MAIN) -> Entry:
    options = {"x": x, "y": y, "area": "model.size_bytes"}
    more = {"groups": "served:served_peers", "options": options}
    return _entry(title, "served:served_tradeoff", "tradeoff_draw:tradeoff", **more)


def _stacked(title: str, name: str, module: str = "phases", **more: Any) -> Entry:
    return _entry(title, f"{module}:{name}", "stacked", **more)


_LATENCY = "serving.latency_p90_ms"
FIGURES: dict[str, Entry] = {
    **{
        f"quality_{short}": _entry(
            f"quality against {short}, per configuration, with the target",
            "curves",
            needs=("curves",),
            options={"x": x},
        )
        for short, x in (("time", "time_s"), ("energy", "energy_total_j"))
    },
    **_both("batch_size", "{} to target against batch size, by learning rate and architecture"),
    **_both("heatmap", "{} to target of learning rate x batch size, misses hatched"),
    **_both("factors", "samples to target against {} per sample, with lines of equal cost"),
    "tta_eta": _tradeoff(
        "energy to target against time to target, with the Pareto front",
        x="target.time_to_target_s",
        y="target.energy_to_target_j",
        area=None,
    ),
    **_both("ladder", "{} to every rung of the ladder, per configuration", needs=("ladder",)),
    "hits": _entry("probability of having hit the target over time (Kaplan-Meier)", "hits"),
    "restarts": _entry("expected time to the target with restarts, misses inside", "restarts"),
    "ecdf_targets": _entry(
        "share of all rungs and runs reached over time", "hits:ecdf_targets", needs=("ladder",)
    ),
    "timeline": _entry(
        "utilization and power over the time of one run, phases shaded",
        "timeline",
        needs=("curves", "telemetry"),
        groups=None,
        pick="timeline:pick_run",
    ),
    "phases": _stacked("wall time by phase, per configuration", "phases"),
    "phase_energy": _stacked("energy by phase, per configuration", "phase_energy"),
    "energy_components": _stacked(
        "energy by component, per configuration", "energy_components", needs=("energy",)
    ),
    "quality_latency": _served("quality against latency, with model size as area", _LATENCY),
    "quality_prediction_energy": _served(
        "quality against energy per prediction", "serving.energy_per_prediction_j"
    ),
    "throughput_latency": _served(
        "throughput in batch against latency of one input", _LATENCY, "serving.throughput_per_s"
    ),
    "latency": _entry(
        "distribution of the latency, with percentiles, by scenario",
        "serving:latency",
        needs=("requests",),
        groups=_SERVINGS,
        pick="serving:pick_served",
    ),
    "load": _entry(
        "latency under load against the rate of queries",
        "serving:load",
        needs=("rate_search",),
        groups=_SERVINGS,
        pick="prepare:serving_runs",
    ),
    "stages": _stacked(
        "end-to-end latency by its parts: local, edge and cloud",
        "stages",
        needs=("stages",),
        groups=_SERVINGS,
        pick="prepare:serving_runs",
    ),
    "compression": _entry(
        "change of quality against speed-up and size of compressed models",
        "compression",
        groups=_SERVINGS,
    ),
    **{
        f"life_cycle_{short}": _entry(
            f"{short} over the life of a model against predictions, with break-even points",
            "life_cycle",
            "life_cycle_draw:life_cycle",
            groups="life_cycle:life_peers",
            options={"quantity": quantity},
        )
        for short, quantity in _QUANTITIES
    },
    "stream": _entry(
        "deployments window by window: accuracy, drift, alarms, joules of retrainings",
        "stream",
        needs=("windows", "events"),
        groups=_DEPLOYMENTS,
        pick="stream:pick_shown",
    ),
    "maintenance_pareto": _entry(
        "joules per 1,000 predictions against the share of predictions below the target",
        "maintenance_pareto",
        groups=_DEPLOYMENTS,
    ),
    "policy_price": _entry(
        "total cost of deployments against the price of an error, with the cheapest policy",
        "policy_price",
        groups=_DEPLOYMENTS,
    ),
    "detectors": _entry(
        "delay of detectors against their false alarms, with one that always raises an alarm",
        "detectors",
        needs=("events", "windows"),
        groups=_DEPLOYMENTS,
        pick="detectors:pick_watched",
    ),
    "maintenance_costs": _stacked(
        "cost of deployments by its parts: retraining, detection, labels, people",
        "maintenance_costs",
        "maintenance_costs",
        groups=_DEPLOYMENTS,
    ),
    "codecarbon": _entry(
        "energy by our meters against CodeCarbon's estimate, per run",
        "codecarbon",
        groups="panels:hosts",
    ),
}


class Frames:
    """The runs, their long frames and their groups, each made when it is first needed."""

    def __init__(self, runs: DataFrame) -> None:
        """Keep the runs, as loaded; nothing else is read yet."""
        self.runs = runs
        self._long: dict[str, DataFrame] = {}
        self._groups: dict[str, list[Group]] = {}

    def long(self, name: str, runs: DataFrame | None = None) -> DataFrame:
        """Read a long frame of all runs, which is kept, or of some of them."""
        from analysis.load import runs as load

        read = getattr(load, f"load_{name}")
        if runs is not None:
            return read(runs)  # type: ignore[no-any-return]
        if name not in self._long:
            self._long[name] = read(self.runs)
        return self._long[name]

    def groups(self, path: str, options: Mapping[str, Any]) -> list[Group]:
        """Group the runs with a function; most figures share the groups of panels."""
        if not path.startswith("panels:") and path != _DEPLOYMENTS:
            return function_of(path)(self.runs, **options)  # type: ignore[no-any-return]
        if path not in self._groups:
            self._groups[path] = function_of(path)(self.runs)
        return self._groups[path]


@cache
def function_of(path: str) -> Callable[..., Any]:
    """A function of analysis.figures by `module:name`."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"analysis.figures.{module}"), name)
    return function


def figure_titles() -> dict[str, str]:
    """What each figure shows, in one line, by its name."""
    return {name: _entry_of(name).title for name in (*FIGURES, TRADEOFF)}


def require_figures(names: Sequence[str], key: str = "figures") -> None:
    """Refuse names that no figure has.

    Raises:
        ValueError: One is unknown; the message names it and similar names.
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
        run: Run ID of a timeline.
        options: Keywords of the data function, in addition to the figure's own.

    Raises:
        NothingToDraw: The runs do not hold what the figure shows.
        ValueError: There is no such figure.
    """
    require_figures([name])
    entry = _entry_of(name)
    keywords = {**entry.options, **(options or {})}
    if entry.groups is None:
        return _data(entry, frames, frames.runs, {} if run is None else {"run": run}, keywords)
    from analysis.figures.panels import panel_data

    groups = frames.groups(entry.groups, keywords)
    return panel_data(frames.runs, groups, lambda runs: _data(entry, frames, runs, {}, keywords))


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


def draw_figure(name: str, data: DataFrame, width: Width) -> Figure:
    """Draw a figure from its tidy frame, from `figure_data` or read back from a file.

    Raises:
        ValueError: There is no such figure.
    """
    require_figures([name])
    draw = function_of(_entry_of(name).draw)
    if "group" not in data:
        figure: Figure = draw(data, width=width)
        return figure
    from analysis.figures.panels import draw_panels

    whole: Figure = draw_panels(data, draw, width)  # type: ignore[assignment]  # no panel itself
    return whole


def _entry_of(name: str) -> Entry:
    return _tradeoff("any two metrics of the record") if name == TRADEOFF else FIGURES[name]
