"""What the gate compares: the metrics of the catalogue that have a kind, and joules by part.

Joules are compared as a total and by part of the machine (GPUs, processors, memory). The parts are
those of the whole clock, which ends at the target unless the trainer goes on beyond it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from bench.core.metric import Joules, Metric
from bench.core.metrics import METRICS
from bench.core.suggest import did_you_mean
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
    if name not in _BY_NAME:
        raise ValueError(f"{key}{name}: no such metric; {nearest(name, _BY_NAME)}")
    return _BY_NAME[name]


def nearest(name: str, known: Collection[str]) -> str:
    """The end of an error message: the known name that was probably meant, or all of them."""
    return did_you_mean(name, known).removeprefix("; ") or f"choose from {', '.join(known)}"
