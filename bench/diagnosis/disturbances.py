"""What may disturb a measurement, from settings of the kernel and from counters over a while.

A setting is `bad` only where it is known to change times from run to run. What just makes a machine
another machine, such as hyper-threads, is a note.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.diagnosis.model import Finding
from bench.diagnosis.surroundings import number_of, text_of
from bench.measure.health import CPU_QUOTA_FRAC, OTHER_LOAD_FRAC, STEAL_FRAC
from bench.measure.os.cgroup import CgroupReading, Hierarchies, cgroup_use
from bench.measure.os.cpu_use import CpuReading, cpu_use

_CPU = "sys/devices/system/cpu"
# Clocks that programs read without asking the kernel. Source: Linux, arch/*/include/asm/vdso.
_FAST_CLOCKS = (
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "arch_sys_counter",
    "riscv_clocksource",
)
# The clock is highest at once, or the hardware decides at its own pace (HWP, CPPC).
_STEADY_GOVERNORS = ("performance",)
_BUSIEST = "top -o %CPU shows by whom"


def settings(root: Path = Path("/")) -> list[Finding]:
    """Settings of the machine that decide how steady its clock and its CPUs are.

    Args:
        root: The folder that holds proc/ and sys/.
    """
    checks = (_allowed_cpus, _quota, _governor, _turbo, _hyper_threads, _clock_source, _mains)
    return [check(root) for check in checks]


def _allowed_cpus(root: Path) -> Finding:
    allowed, present = len(os.sched_getaffinity(0)), os.cpu_count() or 0
    text = f"{allowed} of {present} CPUs may be used"
    return Finding(name="CPUs", state="good" if allowed == present else "note", text=text)


def _quota(root: Path) -> Finding:
    """The tightest CPU quota of the control groups of this process."""
    try:
        groups = Hierarchies(root).groups("cpu")
    except OSError as error:
        return Finding(name="CPU quota", state="unknown", text=str(error))
    quotas = [quota for group in groups if (quota := _quota_of(group)) is not None]
    if not quotas:
        return Finding(name="CPU quota", state="good", text="none")
    return Finding(
        name="CPU quota",
        state="note",
        text=f"{min(quotas):g} CPUs; work beyond it is stopped and waits",
        remedy=f"use at most {max(1, int(min(quotas)))} threads (trainer.num_threads=), or start "
        "the container without --cpus and with --cpuset-cpus",
    )


def _quota_of(group: Path) -> float | None:
    """CPUs that a group may use; None for no limit. Sources: cgroup-v2.rst, sched-bwc.rst."""
    quota, _, period = (text_of(group / "cpu.max") or "max").partition(" ")
    if quota == "max":
        quota = text_of(group / "cpu.cfs_quota_us") or "-1"
        period = text_of(group / "cpu.cfs_period_us") or ""
    try:
        return float(quota) / float(period) if float(quota) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None


def _governor(root: Path) -> Finding:
    found = {text_of(path) for path in root.glob(f"{_CPU}/cpu*/cpufreq/scaling_governor")} - {None}
    name = "frequency governor"
    if not found:
        return Finding(name=name, state="unknown", text="the system does not show one")
    text = ", ".join(sorted(map(str, found)))
    if found <= set(_STEADY_GOVERNORS):
        return Finding(name=name, state="good", text=text)
    remedy = "sudo cpupower frequency-set --governor performance"
    return Finding(name=name, state="bad", text=f"{text}: clocks follow the load", remedy=remedy)


def _turbo(root: Path) -> Finding:
    no_turbo, boost = f"{_CPU}/intel_pstate/no_turbo", f"{_CPU}/cpufreq/boost"
    switches = ((no_turbo, 0, 1), (boost, 1, 0))
    for file, on, off in switches:
        value = number_of(root / file)
        if value == on:
            return Finding(
                name="turbo",
                state="note",
                text="on: clocks depend on temperature and on how many cores work",
                remedy=f"echo {off} | sudo tee /{file}",
            )
        if value == off:
            return Finding(name="turbo", state="good", text="off")
    return Finding(name="turbo", state="unknown", text="the system does not say")


def _hyper_threads(root: Path) -> Finding:
    active = number_of(root / _CPU / "smt/active")
    if active is None:
        return Finding(name="hyper-threads", state="unknown", text="the system does not say")
    if not active:
        return Finding(name="hyper-threads", state="good", text="off")
    return Finding(
        name="hyper-threads",
        state="note",
        text="on: two CPUs share one core, so another process slows a run at less than full load",
        remedy=f"echo off | sudo tee /{_CPU}/smt/control",
    )


def _clock_source(root: Path) -> Finding:
    file = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    source = text_of(root / file)
    if source is None:
        return Finding(name="clock source", state="unknown", text="the system does not say")
    if source in _FAST_CLOCKS:
        return Finding(name="clock source", state="good", text=source)
    return Finding(
        name="clock source",
        state="bad",
        text=f"{source}: each look at the clock is a call of the kernel",
        remedy=f"echo tsc | sudo tee /{file}, if available_clocksource beside it lists tsc",
    )


def _mains(root: Path) -> Finding:
    online = [
        number_of(path.parent / "online")
        for path in root.glob("sys/class/power_supply/*/type")
        if text_of(path) == "Mains"
    ]
    if online and not any(online):
        return Finding(
            name="power supply",
            state="bad",
            text="on battery: clocks are lower and change",
            remedy="plug it in",
        )
    return Finding(name="power supply", state="good", text="mains" if online else "no battery")


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What was read at the start or the end of the measurement."""

    cpu: CpuReading
    cgroup: CgroupReading | None
    counters: Mapping[str, float]


def kernel_counters(root: Path = Path("/")) -> dict[str, float]:
    """Pages swapped in and out, and events of thermal throttling, since boot; those that exist.

    Args:
        root: The folder that holds proc/ and sys/.
    """
    lines = (line.split() for line in (text_of(root / "proc/vmstat") or "").splitlines())
    counted = {name: float(value) for name, value in lines if name in ("pswpin", "pswpout")}
    throttled = [
        count
        for path in root.glob(f"{_CPU}/cpu*/thermal_throttle/*_throttle_count")
        if (count := number_of(path)) is not None
    ]
    return {**counted, **({"throttled": sum(throttled)} if throttled else {})}


def measured(start: Edge, end: Edge) -> list[Finding]:
    """What happened between two edges, while the short steps were timed."""
    checks: tuple[Callable[[Edge, Edge], Finding], ...] = (
        _other_load,
        _steal,
        _throttled_by_quota,
        _swapped,
        _throttled_by_heat,
    )
    return [check(start, end) for check in checks]


def _other_load(start: Edge, end: Edge) -> Finding:
    use = cpu_use(start.cpu, end.cpu)
    return _share(
        "load of others",
        use.other_frac if use else None,
        OTHER_LOAD_FRAC,
        f"stop other work; {_BUSIEST}",
    )


def _steal(start: Edge, end: Edge) -> Finding:
    use = cpu_use(start.cpu, end.cpu)
    remedy = "take a dedicated machine, or one whose CPUs are not shared with others"
    return _share("steal (hypervisor)", use.steal_frac if use else None, STEAL_FRAC, remedy)


def _throttled_by_quota(start: Edge, end: Edge) -> Finding:
    use = None
    if start.cgroup is not None and end.cgroup is not None:
        use = cgroup_use(start.cgroup, end.cgroup, num_cpus=start.cpu.num_cpus)
    remedy = "use fewer threads (trainer.num_threads=), or a larger quota"
    return _share("stopped by quota", use.throttled_frac if use else None, CPU_QUOTA_FRAC, remedy)


def _share(name: str, frac: float | None, least_frac: float, remedy: str) -> Finding:
    if frac is None:
        return Finding(name=name, state="unknown", text="the system does not say")
    text = f"{max(0.0, frac):.1%} (a run is flagged above {least_frac:.0%})"
    if frac <= least_frac:
        return Finding(name=name, state="good", text=text)
    return Finding(name=name, state="bad", text=text, remedy=remedy)


def _swapped(start: Edge, end: Edge) -> Finding:
    known = {"pswpin", "pswpout"} & start.counters.keys() & end.counters.keys()
    if not known:
        return Finding(name="swap", state="unknown", text="the system does not count pages")
    pages = sum(end.counters[name] - start.counters[name] for name in known)
    if pages:
        text = f"{pages:.0f} pages moved to or from the disk"
        remedy = "close programs that hold memory; free --human shows what is left"
        return Finding(name="swap", state="bad", text=text, remedy=remedy)
    return Finding(name="swap", state="good", text="no page moved to or from the disk")


def _throttled_by_heat(start: Edge, end: Edge) -> Finding:
    if "throttled" not in start.counters or "throttled" not in end.counters:
        return Finding(name="heat", state="unknown", text="the system does not count throttling")
    events = end.counters["throttled"] - start.counters["throttled"]
    if events:
        text = f"the processor was throttled {events:.0f} times"
        return Finding(name="heat", state="bad", text=text, remedy="cool the machine, or wait")
    return Finding(name="heat", state="good", text="the processor was not throttled")
