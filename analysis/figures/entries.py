"""The figures by name: what data each needs, how it is prepared, and how it is drawn.

Functions are given by name, so that nothing is imported before a figure is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TRAININGS, _SERVINGS = "panels:trainings", "panels:servings"
DEPLOYMENTS = "deployments:deployment_peers"
_QUANTITIES = (("time", "time_s"), ("energy", "energy_j"), ("cost", "cost_usd"))
# In place of a column: the main quality of the runs that are drawn, which their target names.
MAIN = "main quality"
# Its axes have to be given, so it is not among the figures of a report.
TRADEOFF = "tradeoff"
# Of the key `figures`, instead of names.
ALL, DEFAULT = "all", "default"


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
        process: Figures of the same name are drawn by one process, because they share something
            that takes long: reading the curves of all runs, or importing scipy.stats, which seaborn
            imports as well.
    """

    title: str
    data: str
    draw: str
    needs: tuple[str, ...] = ()
    groups: str | None = _TRAININGS
    options: Mapping[str, Any] = field(default_factory=dict)
    pick: str | None = None
    process: str | None = None


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


_STATS = "scipy.stats"
_LATENCY = "serving.latency_p90_ms"
FIGURES: dict[str, Entry] = {
    **{
        f"quality_{short}": _entry(
            f"quality against {short}, per configuration, with the target",
            "curves",
            needs=("curves",),
            options={"x": x},
            process="curves",
        )
        for short, x in (("time", "time_s"), ("energy", "energy_total_j"))
    },
    **_both("batch_size", "{} to target against batch size, by learning rate and architecture"),
    **_both(
        "heatmap", "{} to target of learning rate x batch size, misses hatched", process=_STATS
    ),
    **_both("factors", "samples to target against {} per sample, with lines of equal cost"),
    "tta_eta": _tradeoff(
        "energy to target against time to target, with the Pareto front",
        x="target.time_to_target_s",
        y="target.energy_to_target_j",
        area=None,
    ),
    **_both("ladder", "{} to every rung of the ladder, per configuration", needs=("ladder",)),
    "hits": _entry(
        "probability of having hit the target over time (Kaplan-Meier)", "hits", process=_STATS
    ),
    "restarts": _entry("expected time to the target with restarts, misses inside", "restarts"),
    **_both("search", "best configuration so far against the {} that a search has spent"),
    "ecdf_targets": _entry(
        "share of all rungs and runs reached over time",
        "hits:ecdf_targets",
        needs=("ladder",),
        process=_STATS,
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
    "skew": _entry(
        "differences between training and serving, and the predictions that they change",
        "skew",
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
        groups=DEPLOYMENTS,
        pick="stream:pick_shown",
    ),
    "maintenance_pareto": _entry(
        "joules per 1,000 predictions against the share of predictions below the target",
        "maintenance_pareto",
        groups=DEPLOYMENTS,
    ),
    "policy_price": _entry(
        "total cost of deployments against the price of an error, with the cheapest policy",
        "policy_price",
        groups=DEPLOYMENTS,
    ),
    "detectors": _entry(
        "delay of detectors against their false alarms, with one that always raises an alarm",
        "detectors",
        needs=("events", "windows"),
        groups=DEPLOYMENTS,
        pick="detectors:pick_watched",
    ),
    "maintenance_costs": _stacked(
        "cost of deployments by its parts: retraining, detection, labels, people",
        "maintenance_costs",
        "maintenance_costs",
        groups=DEPLOYMENTS,
    ),
    "programs": _tradeoff(
        "energy against time of the programs that bench.measure has run",
        x="phases.run_s",
        y="phase_energy.run_j",
        area=None,
    ),
    "history": _entry(
        "medians of all checks of the gate over commits, with change points",
        "history",
        needs=("history",),
        groups=None,
    ),
    "codecarbon": _entry(
        "energy by our meters against CodeCarbon's estimate, per run",
        "codecarbon",
        groups="panels:hosts",
    ),
}


def entry_of(name: str) -> Entry:
    """The figure of this name, of FIGURES or TRADEOFF."""
    return _tradeoff("any two metrics of the record") if name == TRADEOFF else FIGURES[name]
