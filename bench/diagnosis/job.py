"""Looks at everything, measures a short step, and says whether a run would be comparable."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict

from hydra.utils import instantiate

from bench.config.doctor import DoctorConfig
from bench.core.arrays import Floats
from bench.core.host import host_facts
from bench.core.records.energy import UnavailableMeter
from bench.diagnosis.disturbances import Edge, kernel_counters, measured, settings
from bench.diagnosis.gpus import gpu_findings
from bench.diagnosis.installed import data_sets, extras
from bench.diagnosis.meters import try_meters
from bench.diagnosis.model import Diagnosis, Finding
from bench.diagnosis.short_step import step_noise, step_times_s
from bench.diagnosis.surroundings import surroundings
from bench.measure.os.cgroup import CgroupReader
from bench.measure.os.system import CpuMeter, ProcessTree
from bench.measure.window import Window
from bench.runs.instruments import build_meters

# Flags with a finding of their own.
_EXPLAINED = ("other_load", "steal", "cpu_quota", "shared")
_OTHER_FLAGS = {
    "sampler_gap": "for more than 5% of the time nothing of this process could run",
}
# What a window reads besides joules, with the name that a record gives it if it cannot.
_SOURCES = {
    "cpu_times": "CPU time",
    "cgroup": "control group",
    "gpu_telemetry": "GPU telemetry",
    "codecarbon": "CodeCarbon's estimate",
}


def diagnose(config: DoctorConfig) -> Diagnosis:
    """Look at everything, and measure a short step as a run is measured.

    Raises:
        ValueError: The configuration of a meter contradicts itself.
    """
    meters = try_meters(build_meters(config.meter), surroundings())
    window = Window(
        build_meters(config.meter),
        codecarbon=instantiate(config.codecarbon) if config.codecarbon else None,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        times_s, num_steps, happened = _measure(window, config.repeats)
    assert window.health is not None
    return Diagnosis(
        host=host_facts() | {"surroundings": asdict(surroundings())},
        meters=meters,
        sources=[*_sources(window.unavailable), *gpu_findings(window.devices)],
        disturbances=[
            *_others_measuring(window, caught),
            *happened,
            *_other_flags(window.health.flags),
            *settings(),
        ],
        extras=extras(),
        data=data_sets(),
        noise=step_noise(times_s, num_steps, config.runs),
        flags=window.health.flags,
        comparable=window.health.comparable,
    )


def _measure(window: Window, num_repeats: int) -> tuple[Floats, int, list[Finding]]:
    """Time the short steps in the window, and see what else happened meanwhile."""
    cpu, cgroup = CpuMeter(ProcessTree()), CgroupReader()

    def edge() -> Edge:
        return Edge(cpu=cpu.read(refresh=True), cgroup=cgroup.read(), counters=kernel_counters())

    with window:
        start = edge()
        times_s, num_steps = step_times_s(num_repeats)
        end = edge()
    return times_s, num_steps, measured(start, end)


def _sources(unavailable: Sequence[UnavailableMeter]) -> list[Finding]:
    """What a run records besides joules, and why it cannot."""
    reasons: dict[str, list[str]] = {name: [] for name in _SOURCES}
    for each in unavailable:
        if each.meter in reasons:
            reasons[each.meter].append(each.reason)
    return [
        Finding(
            name=title,
            state="note" if reasons[name] else "good",
            text="; ".join(reasons[name]),
        )
        for name, title in _SOURCES.items()
    ]


def _other_flags(flags: Sequence[str]) -> list[Finding]:
    """Flags of the measurement that none of the other findings explains."""
    return [
        Finding(
            name=flag,
            state="bad",
            text=_OTHER_FLAGS.get(flag, "raised by the measurement; docs/metrics.md, Health"),
        )
        for flag in flags
        if flag not in _EXPLAINED
    ]


def _others_measuring(window: Window, caught: Sequence[warnings.WarningMessage]) -> list[Finding]:
    """Whether another run is being measured on this host, in the words of the window's warning."""
    assert window.health is not None
    if "shared" not in window.health.flags:
        return [Finding(name="other runs", state="good", text="none is being measured")]
    text = "; ".join(str(each.message) for each in caught) or "another run is being measured"
    return [Finding(name="other runs", state="bad", text=text, remedy="wait until it has ended")]
