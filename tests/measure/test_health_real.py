"""Each health flag from its real cause: other load, a quota, steal, a blocked interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.core.records.health import Health
from bench.measure.gpu import Sample
from bench.measure.health import health
from bench.measure.os import system
from bench.measure.os.cgroup import CgroupReader
from bench.measure.os.cpu_use import CpuReading, difference
from bench.measure.os.system import CpuMeter, ProcessTree
from bench.measure.sampler import Sampler, SamplerReport
from tests.fakes import FakeClock

QUIET = SamplerReport(overhead_frac=0.0, tick_cost_s=0.0, num_ticks=1, failure=None)
IDLE = CpuReading(at_s=0.0, process_s=0.0, machine_busy_s=0.0, steal_s=None, num_cpus=1)

# Says that it is there, waits until its input is closed, burns for 0.4 s and ends.
BURNER = """
import sys, time
print("ready", flush=True)
sys.stdin.read()
until_s = time.monotonic() + 0.4
while time.monotonic() < until_s: pass
print("done", flush=True)
"""
# Leaves them behind when it ends, so that they are no descendants of the test any more.
LAUNCHER = f"""
import subprocess, sys
for _ in range(int(sys.argv[1])): subprocess.Popen([sys.executable, "-c", {BURNER!r}])
"""


def flags(found: Health) -> list[str]:
    assert found.comparable == (not found.flags)
    return list(found.flags)


def test_a_busy_process_beside_is_other_load() -> None:
    num_burners = max(1, system.num_cpus() // 4)
    meter = CpuMeter(ProcessTree())
    command = [sys.executable, "-c", LAUNCHER, str(num_burners)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as launcher:
        launcher.wait()
        assert launcher.stdin is not None
        assert launcher.stdout is not None
        for _ in range(num_burners):
            assert launcher.stdout.readline() == "ready\n"
        start = meter.read(refresh=True)
        launcher.stdin.close()  # they may begin
        assert launcher.stdout.read() == "done\n" * num_burners
        end = meter.read(refresh=True)
    busy_s = difference(start.machine_busy_s, end.machine_busy_s)
    assert busy_s is not None
    assert busy_s > 0.2
    assert end.process_s - start.process_s < 0.2  # they are none of ours
    assert "other_load" in flags(health(start, end, QUIET, total_s=1.0))


def test_stolen_time_in_the_counters_of_the_kernel_is_steal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr(system, "num_cpus", lambda: 2)
    monkeypatch.setattr(os, "sysconf", {"SC_CLK_TCK": 100}.__getitem__)
    clock = FakeClock()
    meter = CpuMeter(ProcessTree(), clock)

    def reading_of(steal_ticks: int) -> CpuReading:
        stat.write_text(f"cpu  100 0 0 5000 0 0 0 {steal_ticks} 0 0\n")
        return meter.read()

    with stat.open("w+b") as file:
        monkeypatch.setattr(system, "_proc_stat", file.fileno)
        start = reading_of(300)
        clock.advance(10.0)
        # Of 20 CPU seconds, 0.39 are 1.95% and 0.41 are 2.05%.
        below, above = reading_of(339), reading_of(341)
    assert flags(health(start, below, QUIET, total_s=1.0)) == []
    assert flags(health(start, above, QUIET, total_s=1.0)) == ["steal"]


V2 = {
    "proc/self/cgroup": "0::/\n",
    "proc/self/mountinfo": "31 23 0:28 / /cgroup rw - cgroup2 cgroup2 rw\n",
}
V1 = {
    "proc/self/cgroup": "1:cpu:/\n",
    "proc/self/mountinfo": "31 23 0:28 / /cgroup rw - cgroup cgroup rw,cpu\n",
}


@pytest.mark.parametrize(
    ("tree", "counter", "per_s"),
    [(V2, "throttled_usec", 1_000_000), (V1, "throttled_time", 1_000_000_000)],
    ids=["v2", "v1"],
)
def test_a_quota_that_throttles_is_cpu_quota(
    tmp_path: Path, tree: dict[str, str], counter: str, per_s: int
) -> None:
    for name, text in tree.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    stat = tmp_path / "cgroup/cpu.stat"
    stat.parent.mkdir()

    def throttle(seconds: float) -> None:
        stat.write_text(f"nr_periods 9\nnr_throttled 3\n{counter} {round(seconds * per_s)}\n")

    throttle(5.0)
    clock = FakeClock()
    reader = CgroupReader(tmp_path, clock)
    start = reader.read()
    clock.advance(10.0)
    throttle(5.09)  # 0.9% of 10 s
    below = reader.read()
    throttle(5.11)  # 1.1%
    above = reader.read()
    assert start is not None
    assert below is not None
    assert above is not None
    within = health(IDLE, IDLE, QUIET, total_s=1.0, cgroup=(start, below))
    assert flags(within) == []
    beyond = health(IDLE, IDLE, QUIET, total_s=1.0, cgroup=(start, above))
    assert flags(beyond) == ["cpu_quota"]


def test_a_call_that_holds_the_interpreter_is_a_sampler_gap() -> None:
    ticked = threading.Semaphore(0)

    def source() -> list[Sample]:
        ticked.release()
        return []

    sampler = Sampler([source], period_s=0.01)
    sampler.start()
    assert ticked.acquire(timeout=10.0)
    began_s = time.thread_time()  # waiting for the interpreter afterwards is not in it
    # One call in C that does not let other threads run before it ends: 0.2 s and more.
    _ = 3**4_000_000
    held_s = time.thread_time() - began_s
    report = sampler.stop()
    assert report.failure is None
    # Overdue since a period after the tick before, of which 0.1 s are usual.
    assert report.held_up_s >= held_s * 0.9 - 0.12
    found = health(IDLE, IDLE, report, total_s=report.held_up_s / 0.06)
    assert flags(found) == ["sampler_gap"]
    found = health(IDLE, IDLE, report, total_s=report.held_up_s / 0.04)
    assert flags(found) == []


def test_a_sampler_that_breaks_is_flagged() -> None:
    def source() -> list[Sample]:
        raise OSError("the GPU is lost")

    sampler = Sampler([source], period_s=0.01)
    sampler.start()
    assert flags(health(IDLE, IDLE, sampler.stop(), total_s=1.0)) == ["sampler_failed"]
