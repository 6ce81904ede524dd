"""What the gate compares: metrics of the catalogue that have a kind, joules by part, and qualities.

Of the qualities on the test split it judges the main one of the task and that of the target. Others
are compared if `metrics=` names them: each further row makes every other loss harder to find. A
user's own metric has no row in the catalogue; its name is its path, `quality_test.NAME`.

Joules are compared as a total and by part of the machine (GPUs, processors, memory). The parts are
those of the whole clock, which ends at the target unless the trainer goes on beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import replace

from bench.core.metric import Joules, Metric
from bench.core.metrics import METRICS
from bench.core.qualities import MAIN_QUALITY
from bench.core.quality_rows import TEST, is_quality, own_row
from bench.core.suggest import did_you_mean
from bench.gate.model import GateRun
from bench.gate.sides.joules import PARTS

# By path of a total: where the rows of its components lie in the record, and the name of a part.
_COMPONENTS = {
    "target.energy_to_target_j": ("energy", "energy_j"),
    "serving.energy_per_prediction_j": (
        "serving.energy_per_prediction_components",
        "energy_per_prediction_j",
    ),
}


def _with_parts(total: Metric) -> Iterator[Metric]:
    """A metric; a total of joules is followed by each of its parts."""
    yield total
    if total.path not in _COMPONENTS or total.joules is None:
        return
    rows_path, name = _COMPONENTS[total.path]
    for part in PARTS:
        label, components = (f"{fact}.{part}" for fact in total.joules.facts)
        yield replace(
            total,
            name=f"{part}_{name}",
            path=rows_path,
            joules=Joules(label=label, components=components),
            part=part,
            part_of=total.name,
        )


GATE_METRICS = tuple(
    metric for total in METRICS.values() if total.kind for metric in _with_parts(total)
)
_BY_NAME = {metric.name: metric for metric in GATE_METRICS}


def metric_named(name: str, *, key: str = "metrics=") -> Metric:
    """The metric of that name.

    Args:
        name: Such as `time_to_target_s`.
        key: What stands before the name on the command line, for the error.

    Raises:
        ValueError: There is none; the message names the key and the nearest names.
    """
    if name in _BY_NAME:
        return _BY_NAME[name]
    if is_own(name):
        return own_row(name)
    if name in METRICS and METRICS[name].kind:
        raise ValueError(f"{key}{name}: no such metric; did you mean {METRICS[name].name}?")
    raise ValueError(
        f"{key}{name}: no such metric (one of your own is named {TEST}.NAME); "
        f"{nearest(name, _BY_NAME)}"
    )


def is_own(name: str) -> bool:
    """Whether a metric is a quality that no built-in task reports."""
    return is_quality(name) and name.startswith(f"{TEST}.") and name not in METRICS


def lower_of(name: str) -> float:
    """The smallest possible value of a metric; 0 for one that this version does not know."""
    return _BY_NAME[name].lower if name in _BY_NAME else -math.inf if is_own(name) else 0.0


def is_default(metric: Metric, run: GateRun) -> bool:
    """Whether a metric of a run is compared even if `metrics=` does not name it."""
    if not is_quality(metric.path):
        return True
    main = MAIN_QUALITY.get(run.facts.get("task.name") or "classification")
    return metric.path in (f"{TEST}.{main}", f"{TEST}.{run.facts.get('target.metric')}")


def nearest(name: str, known: Collection[str]) -> str:
    """The end of an error message: the known name that was probably meant, or all of them."""
    return did_you_mean(name, known).removeprefix("; ") or f"choose from {', '.join(known)}"
