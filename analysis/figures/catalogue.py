"""Every figure by name: what it needs, how its data is prepared and how it is drawn.

Functions are named and not imported, so that a wrong name is refused without waiting for the
plotting libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

TRAININGS, SERVINGS = "panels:trainings", "panels:servings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One figure.

    Attributes:
        title: What it shows, in a line.
        data: `module:function` from the runs (and the long frames of `needs`, in that order) to a
            tidy frame; the module is one of analysis.figures.
        draw: `module:function` from that frame to a figure.
        needs: Long frames: load_<name> of analysis.load.runs.
        groups: `module:function` from all runs to groups that may be compared, each a panel; None
            where all runs are drawn together.
        options: Keywords of the data function, which `groups` is given as well.
        pick: `module:function` that chooses the runs whose long frames are read, where not all
            of them are drawn.
    """

    title: str
    data: str
    draw: str
    needs: tuple[str, ...] = ()
    groups: str | None = TRAININGS
    options: Mapping[str, Any] = field(default_factory=dict)
    pick: str | None = None


def _tradeoff(title: str, x: str, y: str, area: str | None = None) -> Entry:
    return Entry(
        title=title,
        data="tradeoff:data_tradeoff",
        draw="tradeoff_draw:draw_tradeoff",
        groups="tradeoff:compared",
        options={"x": x, "y": y, "area": area},
    )


def _served(title: str, x: str, y: str) -> Entry:
    of_trainings = _tradeoff(title, x, y, "model.size_bytes")
    return replace(of_trainings, data="served:data_served_tradeoff", groups="served:compared")


def _own(module: str, title: str, **more: Any) -> Entry:
    """The figure that a module is named after."""
    return Entry(
        title=title, data=f"{module}:data_{module}", draw=f"{module}:draw_{module}", **more
    )


def _both(module: str, title: str, **more: Any) -> dict[str, Entry]:
    """The same figure of time and of energy."""
    quantities = (("time", "time_s"), ("energy", "energy_j"))
    return {
        f"{module}_{short}": _own(module, title.format(short), options={"quantity": long}, **more)
        for short, long in quantities
    }


FIGURES: dict[str, Entry] = {
    **{
        f"accuracy_{short}": _own(
            "curves",
            f"quality against {short}, per configuration, with the target",
            needs=("curves",),
            options={"x": long},
        )
        for short, long in (("time", "time_s"), ("energy", "energy_total_j"))
    },
    **_both("batch_size", "{} to target against batch size, by learning rate and architecture"),
    **_both("heatmap", "{} to target of learning rate x batch size, misses hatched"),
    **_both("factors", "samples to target against {} per sample, with lines of equal cost"),
    "tta_eta": _tradeoff(
        "energy to target against time to target, with the Pareto front",
        "target.time_to_target_s",
        "target.energy_to_target_j",
    ),
    **_both("ladder", "{} to every rung of the ladder, per configuration", needs=("ladder",)),
    "hits": _own("hits", "probability of having hit the target over time (Kaplan-Meier)"),
    "restarts": _own("restarts", "expected time to the target with restarts, misses inside"),
    "ecdf_targets": Entry(
        title="share of all rungs and runs reached over time",
        data="hits:data_ecdf_targets",
        draw="hits:draw_ecdf_targets",
        needs=("ladder",),
    ),
    "timeline": _own(
        "timeline",
        "utilization and power over the time of one run, phases shaded",
        needs=("curves", "telemetry"),
        groups=None,
        pick="timeline:pick_run",
    ),
    "phases": Entry(
        title="wall time by phase, per configuration",
        data="phases:data_phases",
        draw="stacked:draw_stacked",
    ),
    "phase_energy": Entry(
        title="energy by phase, per configuration",
        data="phases:data_phase_energy",
        draw="stacked:draw_stacked",
    ),
    "energy_components": Entry(
        title="energy by component, per configuration",
        data="phases:data_energy_components",
        draw="stacked:draw_stacked",
        needs=("energy",),
    ),
    "accuracy_latency": _served(
        "accuracy against latency, with model size as area",
        "serving.latency_p90_ms",
        "quality_test.accuracy",
    ),
    "accuracy_prediction_energy": _served(
        "accuracy against energy per prediction",
        "serving.energy_per_prediction_j",
        "quality_test.accuracy",
    ),
    "throughput_latency": _served(
        "throughput in batch against latency of one input",
        "serving.latency_p90_ms",
        "serving.throughput_per_s",
    ),
    "latency": Entry(
        title="distribution of the latency, with percentiles, by scenario",
        data="serving:data_latency",
        draw="serving:draw_latency",
        needs=("requests",),
        groups=SERVINGS,
        pick="serving:pick_served",
    ),
    "load": Entry(
        title="latency under load against the rate of queries",
        data="serving:data_load",
        draw="serving:draw_load",
        needs=("rate_search",),
        groups=SERVINGS,
        pick="prepare:serving_runs",
    ),
    "stages": Entry(
        title="end-to-end latency by its parts: local, edge and cloud",
        data="phases:data_stages",
        draw="stacked:draw_stacked",
        needs=("stages",),
        groups=SERVINGS,
        pick="prepare:serving_runs",
    ),
    "compression": _own(
        "compression",
        "change of accuracy against speed-up and size of compressed models",
        groups=SERVINGS,
    ),
    **{
        f"life_cycle_{short}": Entry(
            title=f"{short} over the life of a model against predictions, with break-even points",
            data="life_cycle:data_life_cycle",
            draw="life_cycle_draw:draw_life_cycle",
            groups="life_cycle:compared",
            options={"quantity": quantity},
        )
        for short, quantity in (("time", "time_s"), ("energy", "energy_j"), ("cost", "cost_usd"))
    },
    "codecarbon": _own(
        "codecarbon",
        "energy by our meters against CodeCarbon's estimate, per run",
        groups="panels:hosts",
    ),
}
# Needs to be told what to draw, so that it is not among all figures of a report.
TRADEOFF = "tradeoff"
