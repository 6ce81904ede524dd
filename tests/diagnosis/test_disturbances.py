"""Settings and counters of made-up kernels, each with what bench.doctor has to say about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.diagnosis.disturbances import Edge, kernel_counters, measured, settings
from bench.diagnosis.model import Finding
from bench.measure.os.cgroup import CgroupReading
from bench.measure.os.cpu_use import CpuReading

CPU = "sys/devices/system/cpu"
CLOCK = "sys/devices/system/clocksource/clocksource0/current_clocksource"
QUOTA = {
    "proc/self/cgroup": "0::/job\n",
    "proc/self/mountinfo": "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n",
}


def made_kernel(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def found(findings: list[Finding], name: str) -> Finding:
    return next(each for each in findings if each.name == name)


@pytest.mark.parametrize(
    ("files", "name", "state", "text"),
    [
        (
            {f"{CPU}/cpu0/cpufreq/scaling_governor": "performance\n"},
            "frequency governor",
            "good",
            "p",
        ),
        ({f"{CPU}/cpu0/cpufreq/scaling_governor": "powersave\n"}, "frequency governor", "bad", "p"),
        ({}, "frequency governor", "unknown", "the system does not show one"),
        ({f"{CPU}/intel_pstate/no_turbo": "0\n"}, "turbo", "note", "on"),
        ({f"{CPU}/intel_pstate/no_turbo": "1\n"}, "turbo", "good", "off"),
        ({f"{CPU}/cpufreq/boost": "1\n"}, "turbo", "note", "on"),
        ({f"{CPU}/cpufreq/boost": "0\n"}, "turbo", "good", "off"),
        ({f"{CPU}/smt/active": "1\n"}, "hyper-threads", "note", "on"),
        ({f"{CPU}/smt/active": "0\n"}, "hyper-threads", "good", "off"),
        ({CLOCK: "kvm-clock\n"}, "clock source", "good", "kvm-clock"),
        ({CLOCK: "hpet\n"}, "clock source", "bad", "hpet: each look"),
        ({}, "clock source", "unknown", "the system does not say"),
        (
            {
                "sys/class/power_supply/AC/type": "Mains\n",
                "sys/class/power_supply/AC/online": "0\n",
            },
            "power supply",
            "bad",
            "on battery",
        ),
        ({"sys/class/power_supply/BAT/type": "Battery\n"}, "power supply", "good", "no battery"),
        # Two CPUs of the group above, of which the own group may use one and a half.
        (
            {
                **QUOTA,
                "sys/fs/cgroup/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/job/cpu.max": "150000 100000\n",
            },
            "CPU quota",
            "note",
            "1.5 CPUs",
        ),
        ({**QUOTA, "sys/fs/cgroup/job/cpu.max": "max 100000\n"}, "CPU quota", "good", "none"),
        # Version 1 of control groups, with and without a quota.
        (
            {
                "proc/self/cgroup": "3:cpu:/job\n",
                "proc/self/mountinfo": "30 1 0:26 / /cg rw - cgroup cgroup rw,cpu\n",
                "cg/job/cpu.cfs_quota_us": "50000\n",
                "cg/job/cpu.cfs_period_us": "100000\n",
                "cg/cpu.cfs_quota_us": "-1\n",
                "cg/cpu.cfs_period_us": "100000\n",
            },
            "CPU quota",
            "note",
            "0.5 CPUs",
        ),
        ({}, "CPU quota", "unknown", "[Errno 2]"),
    ],
)
def test_a_setting(tmp_path: Path, files: dict[str, str], name: str, state: str, text: str) -> None:
    finding = found(settings(made_kernel(tmp_path, files)), name)
    assert (finding.state, finding.text[: len(text)]) == (state, text)
    # What is bad can be mended, and the remedy names what to do.
    assert bool(finding.remedy) == (state in ("bad", "note"))


def test_cpus_that_may_not_be_used_are_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    finding = found(settings(tmp_path), "CPUs")
    assert (finding.state, finding.text) == ("note", "1 of 8 CPUs may be used")


def edge(at_s: float, **values: float) -> Edge:
    """Of a machine with two CPUs: seconds of the process, of all, and stolen; kernel counters."""
    busy_s, steal_s = values.pop("busy_s", 0.0), values.pop("steal_s", 0.0)
    cpu = CpuReading(
        at_s=at_s,
        process_s=values.pop("own_s", 0.0),
        machine_busy_s=busy_s,
        machine_idle_s=2 * at_s - busy_s - steal_s,
        steal_s=steal_s,
        num_cpus=2,
    )
    throttled_s = values.pop("throttled_s", 0.0)
    cgroup = CgroupReading(at_s=at_s, usage_s=0.0, throttled_s=throttled_s, memory_bytes=None)
    return Edge(cpu=cpu, cgroup=cgroup, counters=values)


@pytest.mark.parametrize(
    ("end", "name", "state", "text"),
    [
        # Of 20 CPU seconds the run used 10 and all together 13: 3 / 20 for others.
        ({"own_s": 10.0, "busy_s": 13.0}, "load of others", "bad", "15.0%"),
        ({"own_s": 10.0, "busy_s": 11.0}, "load of others", "good", "5.0%"),
        ({"steal_s": 1.0}, "steal (hypervisor)", "bad", "5.0%"),
        ({}, "steal (hypervisor)", "good", "0.0%"),
        ({"throttled_s": 1.0}, "stopped by quota", "bad", "10.0%"),
        ({"pswpin": 7.0, "pswpout": 5.0}, "swap", "bad", "12 pages"),
        ({"pswpin": 0.0, "pswpout": 0.0}, "swap", "good", "no page"),
        ({"throttled": 3.0}, "heat", "bad", "the processor was throttled 3 times"),
        ({"throttled": 0.0}, "heat", "good", "the processor was not"),
        ({}, "heat", "unknown", "the system does not count"),
    ],
)
def test_what_happened_meanwhile(end: dict[str, float], name: str, state: str, text: str) -> None:
    start = edge(0.0, **dict.fromkeys(end.keys() & {"pswpin", "pswpout", "throttled"}, 0.0))
    finding = found(measured(start, edge(10.0, **end)), name)
    assert (finding.state, finding.text[: len(text)]) == (state, text)


def test_a_system_that_counts_nothing_is_unknown_not_good() -> None:
    def nothing(at_s: float) -> Edge:
        cpu = CpuReading(at_s=at_s, process_s=0.0, machine_busy_s=None, steal_s=None, num_cpus=2)
        return Edge(cpu=cpu, cgroup=None, counters={})

    assert {each.state for each in measured(nothing(0.0), nothing(1.0))} == {"unknown"}


def test_counters_of_the_kernel(tmp_path: Path) -> None:
    throttle = "thermal_throttle/package_throttle_count"
    files = {
        "proc/vmstat": "nr_free_pages 5\npswpin 3\npswpout 4\n",
        f"{CPU}/cpu0/{throttle}": "2\n",
        f"{CPU}/cpu1/{throttle}": "5\n",
    }
    counters = kernel_counters(made_kernel(tmp_path, files))
    assert counters == {"pswpin": 3.0, "pswpout": 4.0, "throttled": 7.0}
    assert kernel_counters(tmp_path / "empty") == {}
