"""Puts the record of a measured run together: outcome, machine, and readings of its window."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from bench.core.mfu import with_mfu
from bench.core.outcome import outcome_record, without_doubtful_joules
from bench.core.records.curve import CurveRow
from bench.core.records.energy import PhaseEnergy
from bench.core.records.health import Health
from bench.core.records.node import NodeFacts
from bench.core.records.run import RunIdentity, RunRecord
from bench.measure.window import Window

# The facts of a host that tell nodes apart; software and repository are those of node 0.
_OF_NODE = (
    *("name", "os", "cpu_name", "num_cpus", "num_cpus_allowed", "memory_bytes"),
    *("environment", "scheduler"),
)


def measured_record(
    identity: RunIdentity,
    config: Mapping[str, Any],
    rows: Sequence[CurveRow],
    window: Window | None,
    *,
    host: Mapping[str, Any],
    fields: Mapping[str, Any] | None = None,
    **ending: Any,
) -> RunRecord:
    """Make the record of a run, without joules that a health flag speaks against.

    Args:
        identity: Names the run.
        config: The resolved configuration.
        rows: The evaluations that were completed.
        window: The window of the run; None if the run ended before there was one.
        host: Facts of the machine and its software.
        fields: More fields of the record.
        **ending: As outcome_record() takes it.
    """
    facts = {**host, **_torch_threads(), **_gpu_facts(window)}
    record = outcome_record(identity, config, rows, host=facts, **ending)
    measured = window.record_fields() if window else {}
    record = replace(record, **{**measured, **(fields or {})})
    record = with_mfu(replace(record, health=_judged_by_node(record.health, host)), rows)
    return without_doubtful_joules(record)


def node_facts(
    node: int,
    host: Mapping[str, Any],
    window: Window | None,
    *,
    telemetry: str | None,
    phase_energy: PhaseEnergy | None,
) -> NodeFacts:
    """Collect what a node of a training over several nodes has measured so far.

    Args:
        node: Rank of the node.
        host: Facts of its machine and its software.
        window: Its window; None if its part ended before there was one.
        telemetry: The file with its samples; None if there is none.
        phase_energy: Its joules by phase; None if they are unknown.
    """
    facts = {name: host.get(name) for name in _OF_NODE}
    facts |= {**_torch_threads(), **_gpu_facts(window)}
    measured = window.record_fields() if window else {}
    measured["health"] = _judged_by_node(measured.get("health"), host)
    return NodeFacts(
        node=node, host=facts, telemetry=telemetry, phase_energy=phase_energy, **measured
    )


def _judged_by_node(health: Health | None, host: Mapping[str, Any]) -> Health | None:
    """Add the flag of a job that did not have its node to itself.

    The other jobs may have been quiet, but nobody looked: only a part of what they can do to a run
    (caches, memory, disk, clock rates) shows in the other flags.
    """
    scheduler = host.get("scheduler") or {}
    if health is None or scheduler.get("exclusive") is not False:
        return health
    flags = dict.fromkeys([*health.flags, "shared_node"])
    return replace(health, comparable=False, flags=list(flags))


def _torch_threads() -> dict[str, int]:
    """The threads that torch used, within one operator and for operators side by side.

    The configuration may leave their number to torch, and a user's model may change it. A run that
    has not imported torch has none.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {
        "num_threads": torch.get_num_threads(),
        "num_interop_threads": torch.get_num_interop_threads(),
    }


def _gpu_facts(window: Window | None) -> dict[str, Any]:
    """The GPUs of a run, how they are set up, and the software that drives them."""
    if window is None or not window.devices:
        return {"gpus": []}
    return {"gpus": window.devices, "cuda": {**window.driver, **_torch_cuda()}}


def _torch_cuda() -> dict[str, str | None]:
    """CUDA and cuDNN as torch uses them; none in a run that has not imported torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    number = None
    with suppress(RuntimeError):  # a cuDNN that does not fit torch, which other layers do not need
        number = torch.backends.cudnn.version()
    return {"torch_cuda": torch.version.cuda, "cudnn": _cudnn_version(number)}


def _cudnn_version(number: int | None) -> str | None:
    """Write cuDNN's number as a version: 92600 is 9.26.0, and 8902, before version 9, is 8.9.2."""
    if number is None:
        return None
    major, rest = divmod(number, 10_000 if number >= 90_000 else 1_000)
    return f"{major}.{rest // 100}.{rest % 100}"
