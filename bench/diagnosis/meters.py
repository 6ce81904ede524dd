"""Tries every energy meter, each by itself, and says what would make it work."""

from __future__ import annotations

from collections.abc import Mapping

from bench.diagnosis.model import ComponentFinding, MeterFinding
from bench.diagnosis.surroundings import Surroundings
from bench.measure.energy import MIN_REFRESHES
from bench.measure.meter_set import MeterSet
from bench.measure.meters.base import Component, Meter
from bench.measure.settle import GpuScope

# Docker and Podman hide the tree itself, so it is mounted in another place.
# Source: pull request 115 of ml-energy/zeus.
_MOUNT_RAPL = (
    "start the container with --volume /sys/devices/virtual/powercap/intel-rapl:/powercap:ro, and "
    "set meter.sources.rapl.root=/powercap"
)
_GIVE_GPUS = (
    "start the container with --gpus all --env NVIDIA_DRIVER_CAPABILITIES=compute,utility "
    "(NVIDIA Container Toolkit)"
)


def try_meters(meters: Mapping[str, Meter], around: Surroundings) -> list[MeterFinding]:
    """Open each meter by itself, so that the best one does not hide the others.

    Args:
        meters: By name.
        around: Where this process runs.

    Raises:
        MeterConfigError: The configuration of a meter contradicts itself.
    """
    return [_try(name, meter, around) for name, meter in meters.items()]


def _try(name: str, meter: Meter, around: Surroundings) -> MeterFinding:
    alone = MeterSet({name: meter})
    alone.open(GpuScope())
    try:
        components = [_component(each) for each in alone.components]
    finally:
        alone.close()
    reasons = [each.reason for each in alone.unavailable]
    remedy = "" if components else remedy_for(name, around)
    return MeterFinding(meter=name, components=components, reasons=reasons, remedy=remedy)


def _component(component: Component) -> ComponentFinding:
    return ComponentFinding(
        component=component.name,
        source=component.source,
        label=component.label,
        refresh_s=component.refresh_s,
        shortest_s=MIN_REFRESHES * component.refresh_s,
        error_frac=component.error_frac,
        edge_error_j=component.edge_error_j,
    )


def remedy_for(meter: str, around: Surroundings) -> str:
    """What would make a meter work here that does not; empty if its reason says all there is.

    Args:
        meter: Its name.
        around: Where this process runs.
    """
    remedies = {"rapl": _rapl, "nvml": _nvml}
    return remedies[meter](around) if meter in remedies else ""


def _rapl(around: Surroundings) -> str:
    if around.rapl_driver:
        return ""  # the counters are there, and the reason says why they cannot be read
    if around.virtual:
        return "none: hypervisors hide the counters; run on the host or on a bare machine"
    if around.container:
        return _MOUNT_RAPL
    return "sudo modprobe intel_rapl_msr (Intel, and AMD from Zen on; Arm has no such counters)"


def _nvml(around: Surroundings) -> str:
    if not around.nvidia_cards and not around.nvidia_driver:
        return "none: there is no NVIDIA card on the PCI bus"
    if around.container:
        return _GIVE_GPUS
    return "" if around.nvidia_driver else "install NVIDIA's driver; nvidia-smi then lists the card"
