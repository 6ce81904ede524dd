"""The facts that must be the same on both sides of a comparison.

Versions of software are not among them: they may be what is being compared. Nor is anything
momentary. A fact that a record does not hold, because an older version wrote it, is None: whether
it differs is not known.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.core.printable import printable
from bench.core.records.run import RunRecord
from bench.gate.sides.joules import JOULE_FACTS, joule_facts

_GIB = 2**30
# These make up a kind of host: machines that can stand for one another, as noise floors assume.
HOST_CLASS = ("host.cpu_name", "host.num_cpus_allowed", "host.memory_gib", "host.gpus")
# What decides how fast a library computes, as the run had it.
ENVIRONMENT = ("host.num_threads", "host.num_interop_threads", "host.environment")
_TARGET = ("metric", "value", "mode", "rule", "consecutive")
# All facts, in the order in which differences are reported.
FACTS = (
    "schema_version",
    "host.name",
    *HOST_CLASS,
    *ENVIRONMENT,
    *(f"target.{name}" for name in _TARGET),
    "data",
    "precision",
    *JOULE_FACTS,
)
# How a key that one side does not have is shown, by the name of a fact that is a mapping.
_ABSENT = {"host.environment": "unset"}


def facts_of(record: RunRecord) -> dict[str, Any]:
    """The facts of a run, in the order of FACTS; None for what its record does not hold.

    Raises:
        ValueError: The host of the record holds something that cannot be; the message names it.
    """
    host, target = record.host, record.target
    values = {
        "schema_version": record.schema_version,
        "host.name": _fact(host, "name"),
        "host.cpu_name": _fact(host, "cpu_name"),
        "host.num_cpus_allowed": _fact(host, "num_cpus_allowed"),
        "host.memory_gib": _gib(host.get("memory_bytes")),
        "host.gpus": _gpu_names(host.get("gpus")),
        "host.num_threads": _fact(host, "num_threads"),
        "host.num_interop_threads": _fact(host, "num_interop_threads"),
        "host.environment": _variables(host.get("environment")),
        **{f"target.{name}": getattr(target, name, None) for name in _TARGET},
        "data": _data_name(record),
        "precision": record.config.get("precision"),
        **joule_facts(record),
    }
    return {name: values[name] for name in FACTS}


def _fact(host: Mapping[str, Any], name: str) -> Any:
    """A single value of the host; a record may hold anything in its place."""
    value = host.get(name)
    if isinstance(value, (Mapping, list)):
        raise _impossible(name, value)
    return value


def _gib(memory_bytes: Any) -> int | None:
    """Rounded: virtual machines of one kind differ by some kilobytes."""
    if memory_bytes is None:
        return None
    if not isinstance(memory_bytes, int | float) or not math.isfinite(memory_bytes):
        raise _impossible("memory_bytes", memory_bytes)
    return round(memory_bytes / _GIB)


def _gpu_names(gpus: Any) -> list[Any] | None:
    if gpus is None:
        return None
    if not isinstance(gpus, list) or not all(isinstance(gpu, Mapping) for gpu in gpus):
        raise _impossible("gpus", gpus)
    return [gpu.get("name") for gpu in gpus]


def _variables(environment: Any) -> Mapping[str, Any] | None:
    if environment is not None and not isinstance(environment, Mapping):
        raise _impossible("environment", environment)
    return environment


def _impossible(name: str, value: Any) -> ValueError:
    return ValueError(f"host.{name}={printable(value)}: cannot be")


def difference(fact: str, sides: Sequence[Iterable[Any]]) -> str | None:
    """How a fact differs: `Made CPU / Other CPU` or, key by key, `OMP_NUM_THREADS 1 / 2`.

    Args:
        fact: Its name.
        sides: Its values in the runs of the base and of the candidate; None is ignored.

    Returns:
        None where all values are the same, as far as they are recorded.
    """
    known = [[value for value in side if value is not None] for side in sides]
    values = [value for side in known for value in side]
    if values and all(isinstance(value, Mapping) for value in values):
        keys = sorted({key for value in values for key in value})
        absent = _ABSENT.get(fact, "none")
        texts = (
            (key, _difference_of_texts([[_entry(each, key, absent) for each in s] for s in known]))
            for key in keys
        )
        return ", ".join(f"{key} {text}" for key, text in texts if text) or None
    return _difference_of_texts(known)


def _entry(value: Mapping[str, Any], key: str, absent: str) -> str:
    entry = value.get(key)
    return absent if entry is None else str(entry) or "''"


def _difference_of_texts(sides: Sequence[Iterable[Any]]) -> str | None:
    texts = [sorted({str(value) for value in side}) for side in sides]
    if len({text for side in texts for text in side}) <= 1:
        return None
    return " / ".join(" and ".join(side) or "not recorded" for side in texts)


def _data_name(record: RunRecord) -> str | None:
    """The name of the data set, of a serving that of its model."""
    if record.trained is not None:
        return record.trained.data
    return part_name(record.config.get("data"))


def part_name(part: Any) -> str | None:
    """The name of a part of a configuration: its name, method, or the last part of its target.

    Args:
        part: A group of the configuration as a dict, or a plain value.
    """
    if not isinstance(part, Mapping):
        return None if part is None else str(part)
    name = part.get("name") or part.get("method") or part.get("_target_")
    return None if name is None else str(name).rpartition(".")[2]


def host_class(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The kind of host that a run was on."""
    return {name.removeprefix("host."): facts.get(name) for name in HOST_CLASS}


def is_forced(name: str, force: list[str]) -> bool:
    """Whether `force` holds this name or its group: `host` stands for all of `host.*`."""
    return any(name == one or name.startswith(f"{one}.") for one in force)
