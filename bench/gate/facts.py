"""What has to be the same on both sides of a comparison; nothing momentary among it.

Versions of software are no part of it: they may be what is being compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.core.records import RunRecord

_GIB = 2**30
# Of these a kind of host is made, for noise: machines that can stand for one another.
HOST_CLASS = ("host.cpu_name", "host.num_cpus_allowed", "host.memory_gib", "host.gpus")
_TARGET = ("metric", "value", "mode", "rule", "consecutive")
# How joules were obtained; matters only where joules are compared (see Metric.label_path).
LABELS = ("energy_label", "serving.energy_per_prediction_label")
# All there are, in the order in which a difference is told.
FACTS = (
    "schema_version",
    "host.name",
    *HOST_CLASS,
    *(f"target.{name}" for name in _TARGET),
    "data",
    "precision",
    *LABELS,
)


def facts_of(record: RunRecord) -> dict[str, Any]:
    """The facts of a run, by FACTS; None for what its record does not tell."""
    host, target, serving = record.host, record.target, record.serving
    memory_bytes = host.get("memory_bytes")
    values = {
        "schema_version": record.schema_version,
        "host.name": host.get("name"),
        "host.cpu_name": host.get("cpu_name"),
        "host.num_cpus_allowed": host.get("num_cpus_allowed"),
        # Rounded: virtual machines of one kind differ by some kilobytes.
        "host.memory_gib": None if memory_bytes is None else round(memory_bytes / _GIB),
        "host.gpus": [gpu["name"] for gpu in host.get("gpus", [])],
        **{f"target.{name}": getattr(target, name, None) for name in _TARGET},
        "data": _data_of(record),
        "precision": record.config.get("precision"),
        "energy_label": record.energy_label,
        "serving.energy_per_prediction_label": getattr(
            serving, "energy_per_prediction_label", None
        ),
    }
    return {name: values[name] for name in FACTS}


def _data_of(record: RunRecord) -> str | None:
    """Name of the data set: of the model that was served, or of the part that was chosen."""
    if record.trained is not None:
        return record.trained.data
    return part_name(record.config.get("data"))


def part_name(part: Any) -> str | None:
    """What a part of a configuration is called: its name, method, or the last part of its target.

    Args:
        part: A group of the configuration as a dict, or a plain value.
    """
    if not isinstance(part, Mapping):
        return None if part is None else str(part)
    name = part.get("name") or part.get("method") or part.get("_target_")
    return None if name is None else str(name).rpartition(".")[2]


def host_class(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The kind of host that a run was on: all of its facts but the host's own name."""
    return {name.removeprefix("host."): facts.get(name) for name in HOST_CLASS}


def is_forced(name: str, force: list[str]) -> bool:
    """Whether `force` has this name or the group that it is in: `host` for all of `host.*`."""
    return any(name == one or name.startswith(f"{one}.") for one in force)
