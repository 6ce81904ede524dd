"""bench.doctor: looks at everything, measures a short step, and says whether a run would count."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from bench.cli.app import run_once
from bench.cli.terminal import say, wide_console
from bench.config.doctor import DoctorConfig
from bench.core.arrays import Floats
from bench.core.files import write_output
from bench.core.host import host_facts
from bench.core.records.energy import UnavailableMeter
from bench.diagnosis.disturbances import Edge, kernel_counters, measured, settings
from bench.diagnosis.gpus import gpu_findings
from bench.diagnosis.installed import data_sets, extras
from bench.diagnosis.meters import try_meters
from bench.diagnosis.model import Diagnosis, Finding
from bench.diagnosis.screen import print_diagnosis
from bench.diagnosis.short_step import step_noise, step_times_s
from bench.diagnosis.surroundings import surroundings
from bench.measure.os.cgroup import CgroupReader
from bench.measure.os.system import CpuMeter, ProcessTree
from bench.measure.window import Window
from bench.runs.instruments import build_meters

_COMPARABLE, _NOT_COMPARABLE = 0, 1
# What a window reads besides joules, with the name that a record gives it if it cannot.
_SOURCES = {
    "cpu_times": "CPU time",
    "cgroup": "control group",
    "gpu_telemetry": "GPU telemetry",
    "codecarbon": "CodeCarbon's estimate",
}


def doctor_command() -> int:
    """Run bench.doctor with the keys of the command line; return its exit code."""
    return run_once("doctor", DoctorConfig, _run)


def _run(plain: Mapping[str, Any]) -> int:
    config = DoctorConfig.from_dict(plain)
    console = wide_console()
    say(console, "examining this machine; this takes some 10 s")
    found = diagnose(config)
    print_diagnosis(found, console)
    if config.json is not None:
        text = json.dumps(asdict(found), indent=2, allow_nan=False)
        write_output("json", Path(config.json), f"{text}\n")
    return _COMPARABLE if found.comparable else _NOT_COMPARABLE


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
        disturbances=[*_others_measuring(window, caught), *happened, *settings()],
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


def _others_measuring(window: Window, caught: Sequence[warnings.WarningMessage]) -> list[Finding]:
    """Whether another run is being measured on this host, in the words of the window's warning."""
    assert window.health is not None
    if "shared" not in window.health.flags:
        return [Finding(name="other runs", state="good", text="none is being measured")]
    text = "; ".join(str(each.message) for each in caught) or "another run is being measured"
    return [Finding(name="other runs", state="bad", text=text, remedy="wait until it has ended")]
