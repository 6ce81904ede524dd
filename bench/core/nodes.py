"""Puts the readings of several nodes together: joules are sums, and a run is as fit as its nodes.

The errors of sums are added, as those of the components of one machine: nothing says that they
cancel. A sum that lacks the part of a node is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from statistics import fmean
from typing import Any

from bench.core.labels import ENERGY_FLAGS, EnergyLabel, weakest_label
from bench.core.records.curve import CurveRow
from bench.core.records.energy import EnergyRow, Idle, PhaseEnergy, UnavailableMeter
from bench.core.records.health import Health, Utilization
from bench.core.records.node import NodeFacts

# The flag of a run of which a node ended before it could say how it was.
NODE_LOST = "node_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReading:
    """The meters of one node at an evaluation.

    Attributes:
        energy_j: Joules since its clock started; None if any part is unknown.
        label: The weakest label of its components.
        error_frac: Bound on the error of energy_j, as a share of it.
        eval_j: Part of energy_j in the phase `eval`.
        checkpoint_j: Part of energy_j in the phase `checkpoint`.
        why_lost: Why its meters can no longer say what a total needs; None while they can.
    """

    energy_j: float | None
    label: EnergyLabel | None
    error_frac: float | None
    eval_j: float | None
    checkpoint_j: float | None
    why_lost: str | None = None


def reading_of(row: CurveRow, why_lost: str | None = None) -> NodeReading:
    """The joules of a node's own row of the curve."""
    return NodeReading(
        energy_j=row.energy_total_j,
        label=row.energy_label,
        error_frac=row.energy_error_frac,
        eval_j=row.eval_energy_j,
        checkpoint_j=row.checkpoint_energy_j,
        why_lost=why_lost,
    )


def with_joules_of_nodes(row: CurveRow, readings: Sequence[NodeReading]) -> CurveRow:
    """A row with the joules of all nodes together.

    Args:
        row: The row of node 0, which has the clock.
        readings: The readings of all nodes, that of node 0 included.
    """
    total_j = _sum(one.energy_j for one in readings)
    return replace(
        row,
        energy_total_j=total_j,
        energy_label=None if total_j is None else weakest_label(_known(r.label for r in readings)),
        energy_error_frac=_error_frac([(one.energy_j, one.error_frac) for one in readings]),
        eval_energy_j=_sum(one.eval_j for one in readings),
        checkpoint_energy_j=_sum(one.checkpoint_j for one in readings),
    )


def fields_of_nodes(nodes: Sequence[NodeFacts]) -> dict[str, Any]:
    """The fields of a record that are put together from those of its nodes.

    Args:
        nodes: All nodes of the training, in order; node 0 first.
    """
    first = nodes[0]
    total_j = _sum(node.energy_total_j for node in nodes)
    return {
        "nodes": list(nodes),
        "energy": _rows_of_nodes(nodes),
        "energy_total_j": total_j,
        "energy_label": None
        if total_j is None
        else weakest_label(_known(node.energy_label for node in nodes)),
        "energy_error_frac": _error_frac(
            [(node.energy_total_j, node.energy_error_frac) for node in nodes]
        ),
        "idle": _idle([node.idle for node in nodes]),
        "unavailable_meters": _unavailable(nodes),
        "codecarbon_energy_j": _sum(node.codecarbon_energy_j for node in nodes),
        "codecarbon_emissions_gco2e": _sum(node.codecarbon_emissions_gco2e for node in nodes),
        "codecarbon_version": first.codecarbon_version,
        "codecarbon_tracking_mode": first.codecarbon_tracking_mode,
        "utilization": _utilization(nodes),
        "health": _health(nodes),
    }


def phase_energy_of_nodes(nodes: Sequence[NodeFacts]) -> PhaseEnergy | None:
    """The joules of all nodes by phase; None if those of any node are unknown."""
    parts = [node.phase_energy for node in nodes]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None

    short = [part.below_resolution for part in known]
    values: dict[str, Any] = {}
    for name in (each.name for each in fields(PhaseEnergy) if each.name.endswith("_j")):
        bound = name.removesuffix("_j") + "_error_frac"
        values[name] = _sum(getattr(part, name) for part in known)
        values[bound] = _error_frac([(getattr(p, name), getattr(p, bound)) for p in known])
    return PhaseEnergy(
        init_metered_s=known[0].init_metered_s,
        below_resolution=None
        if None in short
        else list(dict.fromkeys(phase for part in short for phase in part or ())),
        **values,
    )


def _known(labels: Iterable[EnergyLabel | None]) -> list[EnergyLabel]:
    return [label for label in labels if label is not None]


def _sum(values: Iterable[float | None]) -> float | None:
    """Add values up; None if one is unknown or there are none."""
    listed = list(values)
    known = [value for value in listed if value is not None]
    return sum(known) if known and len(known) == len(listed) else None


def _error_frac(parts: Sequence[tuple[float | None, float | None]]) -> float | None:
    """The bound of a sum as a share of it, from joules and bounds of the parts."""
    total_j = _sum(joules for joules, _ in parts)
    error_j = _sum(
        None if joules is None or frac is None else joules * frac for joules, frac in parts
    )
    return error_j / total_j if total_j and error_j is not None else None


def _rows_of_nodes(nodes: Sequence[NodeFacts]) -> list[EnergyRow]:
    """For each component, such as `cpu0`, the joules of all nodes that have it."""
    groups: dict[str, list[EnergyRow]] = {}
    for node in nodes:
        for row in node.energy:
            groups.setdefault(row.component, []).append(row)
    return [_row_of_nodes(rows) for rows in groups.values()]


def _row_of_nodes(rows: Sequence[EnergyRow]) -> EnergyRow:
    refreshes_s = [row.refresh_s for row in rows if row.refresh_s is not None]
    label = weakest_label(row.label for row in rows)
    assert label is not None, "a group has a row"
    return EnergyRow(
        component=rows[0].component,
        energy_j=sum(row.energy_j for row in rows),
        source=", ".join(dict.fromkeys(row.source for row in rows)),
        label=label,
        refresh_s=max(refreshes_s, default=None),
        energy_error_frac=_error_frac([(row.energy_j, row.energy_error_frac) for row in rows]),
        below_resolution=any(row.below_resolution for row in rows),
        counter_reset=any(row.counter_reset for row in rows),
        counter_gap=any(row.counter_gap for row in rows),
    )


def _idle(parts: Sequence[Idle | None]) -> Idle | None:
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    return Idle(
        each_s=known[0].each_s,
        before_w=_sum(part.before_w for part in known),
        after_w=_sum(part.after_w for part in known),
        net_energy_j=_sum(part.net_energy_j for part in known),
        net_error_frac=_error_frac([(part.net_energy_j, part.net_error_frac) for part in known]),
    )


def _unavailable(nodes: Sequence[NodeFacts]) -> list[UnavailableMeter]:
    """The meters that are missing on any node, and the nodes without which there is no total."""
    missing = [
        replace(one, meter=_named(node, one.meter))
        for node in nodes
        for one in node.unavailable_meters
    ]
    measured = any(node.energy_total_j is not None for node in nodes)
    for node in nodes:
        if measured and node.energy_total_j is None:
            reason = f"{node.host.get('name')} has no joules, so the total of all nodes is unknown"
            missing.append(UnavailableMeter(meter=f"node{node.node}", reason=reason))
    return missing


def _named(node: NodeFacts, name: str) -> str:
    """The name of something of a node; on node 0 as if it were the only one."""
    return f"node{node.node}.{name}" if node.node else name


def _utilization(nodes: Sequence[NodeFacts]) -> Utilization | None:
    """Mean shares, and the largest peak of any node."""
    known = [node.utilization for node in nodes if node.utilization is not None]
    if not known:
        return None
    values: dict[str, Any] = {}
    for name in (each.name for each in fields(Utilization)):
        numbers = [value for each in known if (value := getattr(each, name)) is not None]
        combine: Callable[[list[float]], float] = max if name.endswith("_bytes") else fmean
        values[name] = combine(numbers) if numbers else None
    return Utilization(**values)


def _health(nodes: Sequence[NodeFacts]) -> Health | None:
    """Comparable only if every node is; the flags of other nodes name their node."""
    if all(node.health is None for node in nodes):
        return None
    flags: list[str] = []
    for node in nodes:
        own = [NODE_LOST] if node.health is None else node.health.flags
        # Flags that concern joules are looked for by their names: the sum has the same defect.
        flags += [flag for flag in own if flag in ENERGY_FLAGS]
        flags += [_named(node, flag) for flag in own]
    overheads = [node.health.sampler_overhead_frac for node in nodes if node.health is not None]
    return Health(
        comparable=all(node.health is not None and node.health.comparable for node in nodes),
        flags=list(dict.fromkeys(flags)),
        sampler_overhead_frac=max((one for one in overheads if one is not None), default=None),
    )
