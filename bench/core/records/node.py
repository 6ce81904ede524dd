"""What each node of a training over several nodes used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.core.labels import EnergyLabel
from bench.core.records.energy import EnergyRow, Idle, PhaseEnergy, UnavailableMeter
from bench.core.records.health import Health, Utilization


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One node of a training over several nodes: its own readings of its own meters.

    Attributes:
        node: Rank of the node; node 0 has the clock and writes the record.
        host: Name, system, CPU, memory, threads and GPUs of the node, as in `host`.
        telemetry: Name of the file with its samples in the run folder. None if there is none.
        energy: Joules of its components. `energy` of the record has the sum over the nodes for each
            component.
        energy_total_j: Sum of its components without constants. None if any part failed, if a GPU
            has no joules, or if the node was lost.
        energy_label: Weakest label of its components.
        energy_error_frac: Bound on the systematic error of its total, as a share of it.
        phase_energy: Its total by phase.
        idle: Power of the idle node before and after the run.
        unavailable_meters: Its meters and other counters that could not be read, or failed.
        codecarbon_energy_j: CodeCarbon's own estimate of its joules.
        codecarbon_emissions_gco2e: CodeCarbon's own estimate of its emissions.
        codecarbon_version: Version of CodeCarbon.
        codecarbon_tracking_mode: `machine` or `process`.
        utilization: Use of its CPUs, memory and GPUs.
        health: Whether the node was fit for a comparison. None if it was lost.
    """

    node: int
    host: dict[str, Any] = field(default_factory=dict)
    telemetry: str | None = None
    energy: list[EnergyRow] = field(default_factory=list)
    energy_total_j: float | None = None
    energy_label: EnergyLabel | None = None
    energy_error_frac: float | None = None
    phase_energy: PhaseEnergy | None = None
    idle: Idle | None = None
    unavailable_meters: list[UnavailableMeter] = field(default_factory=list)
    codecarbon_energy_j: float | None = None
    codecarbon_emissions_gco2e: float | None = None
    codecarbon_version: str | None = None
    codecarbon_tracking_mode: str | None = None
    utilization: Utilization | None = None
    health: Health | None = None
