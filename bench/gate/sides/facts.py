"""The facts that must be the same on both sides of a comparison, and those that are only noted.

Versions of software do not have to be the same: they may be what is being compared. The driver of
GPUs is an exception, since it belongs to the machine. Nothing momentary is a fact. A fact that a
record does not hold, because an older version wrote it, is None: whether it differs is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from bench.core.checks import value_at
from bench.core.flat import value_of
from bench.core.metric import Metric
from bench.core.printable import printable
from bench.core.records.run import RunRecord
from bench.gate.model import GateRun
from bench.gate.sides.joules import JOULE_FACTS, joule_facts

_GIB = 2**30
# Records of older versions have no task: what they learned is not known to differ.
_TASK = ("name", "kind")
_HASH_DIGITS = 12  # of the data: enough to tell two versions apart, and short enough for a sentence
_TARGET = ("value", "mode", "rule", "consecutive")
# How a key that one side does not have is shown, by the name of a fact that is a mapping.
_ABSENT = {"host.environment": "unset"}


def _host(name: str, convert: Callable[[Any], Any]) -> Callable[[RunRecord], Any]:
    """Read a value of the host, which is of free form: a record may hold anything there."""

    def read(record: RunRecord) -> Any:
        value = record.host.get(name)
        try:
            return None if value is None else convert(value)
        except (TypeError, ValueError, AttributeError, OverflowError):
            raise ValueError(f"host.{name}={printable(value)}: cannot be") from None

    return read


def _scalar(value: Any) -> Any:
    if isinstance(value, (Mapping, list)):
        raise TypeError
    return value


def _host_name(record: RunRecord) -> Any:
    """The name of the host, of a training over several nodes the names of all."""
    names = sorted(str(node.host["name"]) for node in record.nodes if node.host.get("name"))
    return ", ".join(names) or _host("name", _scalar)(record)


def _scheduler(record: RunRecord) -> str | None:
    """The batch system and its partition; `none` outside of it, None where it is not recorded.

    Limits, priorities and bindings to cores come with a partition, and no other fact shows them.
    """
    if "scheduler" in record.host and record.host["scheduler"] is None:
        return "none"
    facts = _host("scheduler", _mapping)(record) or {}
    return " ".join(str(facts[key]) for key in ("kind", "partition") if facts.get(key)) or None


def _entry_of(group: str, name: str, convert: Callable[[Any], Any]) -> Callable[[RunRecord], Any]:
    """Read an entry of a mapping of the host; None without the mapping."""
    return _host(group, lambda value: convert(_mapping(value).get(name)))


def _number(text: Any) -> int | None:
    """A backend that does not know a number says so in words, which are nothing to compare."""
    return int(text) if isinstance(text, str) and text.isdecimal() else None


def _gib(memory_bytes: float) -> int:
    """Rounded: virtual machines of one kind differ by some kilobytes."""
    return round(memory_bytes / _GIB)


def _gpu_names(gpus: Any) -> list[Any]:
    if not isinstance(gpus, list):
        raise TypeError
    return [gpu.get("name") for gpu in gpus]


def _of_gpus(
    name: str, convert: Callable[[Any], Any] = lambda value: value
) -> Callable[[RunRecord], Any]:
    """Read a setting of the GPUs, as a text: `350` or, where they differ, `350, 300`.

    None if no card has it.
    """

    def texts(gpus: Any) -> str | None:
        if not isinstance(gpus, list):
            raise TypeError
        values = [_scalar(gpu.get(name)) for gpu in gpus]
        if all(value is None for value in values):
            return None
        shown = ["unknown" if value is None else str(convert(value)) for value in values]
        return shown[0] if len(set(shown)) == 1 else ", ".join(shown)

    return _host("gpus", texts)


def _on_off(value: Any) -> str:
    return "on" if value else "off"


def _known_on_off(value: Any) -> str | None:
    return None if value is None else _on_off(value)


def _major(version: Any) -> str | None:
    """The first number of a version, by which NVIDIA names branches of its driver."""
    return version.partition(".")[0] if isinstance(version, str) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError
    return value


def _target_metric(record: RunRecord) -> Any:
    """Of a serving, that of its training: it says what the quality of the model is measured by."""
    metric = value_of(record, "target.metric")
    return value_of(record, "trained.target_metric") if metric is None else metric


def _target(name: str) -> Callable[[RunRecord], Any]:
    return lambda record: value_of(record, f"target.{name}")


def _task(name: str) -> Callable[[RunRecord], Any]:
    return lambda record: value_of(record, f"task.{name}")


def _data_hash(record: RunRecord) -> str | None:
    digits = record.task.data_hash if record.task else None
    return digits and digits[:_HASH_DIGITS]


def _data_name(record: RunRecord) -> str | None:
    """The name of the data set, of a serving that of its model, of a deployment its stream's."""
    if record.trained is not None:
        return record.trained.data
    return part_name(record.config.get("data") or value_at(record.config, "stream.source"))


# These make up a kind of host: machines that can stand for one another, as noise floors assume.
_HOST_CLASS = {
    "host.cpu_name": _host("cpu_name", _scalar),
    "host.num_cpus_allowed": _host("num_cpus_allowed", _scalar),
    "host.memory_gib": _host("memory_bytes", _gib),
    "host.gpus": _host("gpus", _gpu_names),
}
# These decide how fast a library computes, as the run had it.
_ENVIRONMENT = {
    "host.num_threads": _host("num_threads", _scalar),
    "host.num_interop_threads": _host("num_interop_threads", _scalar),
    "host.runtime.threads": _entry_of("runtime", "threads", _number),
    "host.environment": _host("environment", _mapping),
    "host.scheduler": _scheduler,
    "host.scheduler.exclusive": _entry_of("scheduler", "exclusive", _scalar),
}
# How the GPUs are set up. Whoever administers the machine may have changed it between the sides.
_GPUS = {
    "host.gpus.memory_gib": _of_gpus("memory_bytes", _gib),
    "host.gpus.power_limit_w": _of_gpus("power_limit_w", round),
    "host.gpus.application_clock_mhz": _of_gpus("application_clock_mhz"),
    "host.gpus.ecc": _of_gpus("ecc", _on_off),
    "host.gpus.mig": _of_gpus("mig", _on_off),
    "host.cuda.driver_major": _entry_of("cuda", "driver", _major),
    "host.cuda.confidential_computing": _entry_of("cuda", "confidential_computing", _known_on_off),
}
# A difference in these is noted, and the sides are compared all the same.
_NOTED = {
    "host.gpus.persistence": _of_gpus("persistence", _on_off),
    "host.gpus.vbios": _of_gpus("vbios"),
    **{
        f"host.cuda.{name}": _entry_of("cuda", name, _scalar)
        for name in ("driver", "driver_cuda", "torch_cuda", "cudnn")
    },
}
# In each run another value, so only a large difference between the sides is noted.
SM_CLOCK = "utilization.gpu_sm_clock_mhz"
# In the order in which differences are reported.
_READERS: dict[str, Callable[[RunRecord], Any]] = {
    "schema_version": attrgetter("schema_version"),
    "host.name": _host_name,
    **_HOST_CLASS,
    **_GPUS,
    **_ENVIRONMENT,
    "target.metric": _target_metric,
    **{f"target.{name}": _target(name) for name in _TARGET},
    "data": _data_name,
    **{f"task.{name}": _task(name) for name in _TASK},
    "task.data_hash": _data_hash,
    "precision": lambda record: record.config.get("precision"),
}
HOST_CLASS, ENVIRONMENT = tuple(_HOST_CLASS), tuple(_ENVIRONMENT)
FACTS = (*_READERS, *JOULE_FACTS)
NOTED = tuple(_NOTED)
# What a baseline or a history does not have to share.
PASSING = (*NOTED, SM_CLOCK)


def facts_of(record: RunRecord) -> dict[str, Any]:
    """The facts of a run, in the order of FACTS, then PASSING; None where its record has none.

    Raises:
        ValueError: The host of the record holds something that cannot be; the message names it.
    """
    noted = {name: read(record) for name, read in _NOTED.items()}
    noted[SM_CLOCK] = value_of(record, SM_CLOCK)
    return {name: read(record) for name, read in _READERS.items()} | joule_facts(record) | noted


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


def has_same_joules(metric: Metric, runs: Sequence[GateRun]) -> bool:
    """Whether the joules of a metric are of one label and of the same components in all runs."""
    names = metric.joules.facts if metric.joules else ()
    return all(difference(name, [[run.facts.get(name) for run in runs]]) is None for name in names)


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
