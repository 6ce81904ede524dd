from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from bench.measure.meters.base import MeterUnavailable
from bench.measure.meters.cpu_model import CpuModelMeter
from bench.measure.os import process, system
from bench.measure.os.cpu_use import CpuReading, cpu_use
from bench.measure.os.system import CpuMeter, ProcessTree, machine_busy_s
from tests.fakes import FakeClock

BURN = "import time\nwhile time.process_time() < 0.12: pass\n"
BURNT_S = 0.09  # what the kernel books of it at least, in ticks of 10 ms


def reading(at_s: float, process_s: float, busy_s: float, steal_s: float | None) -> CpuReading:
    return CpuReading(
        at_s=at_s, process_s=process_s, machine_busy_s=busy_s, steal_s=steal_s, num_cpus=4
    )


def test_use_is_the_difference_over_all_cpus() -> None:
    use = cpu_use(reading(10.0, 100.0, 1000.0, 5.0), reading(20.0, 120.0, 1030.0, 6.0))
    assert use is not None
    # 10 s on 4 CPUs are 40 CPU seconds.
    assert (use.process_frac, use.machine_frac, use.steal_frac) == (0.5, 0.75, 0.025)


def test_use_without_time_or_steal_is_not_known() -> None:
    start = reading(10.0, 0.0, 0.0, None)
    assert cpu_use(start, start) is None
    use = cpu_use(start, reading(11.0, 0.0, 0.0, None))
    assert use is not None
    assert use.steal_frac is None


def counted(
    at_s: float, process_s: float, busy_s: float, idle_s: float, steal_s: float = 0.0
) -> CpuReading:
    return CpuReading(
        at_s=at_s,
        process_s=process_s,
        machine_busy_s=busy_s,
        machine_idle_s=idle_s,
        steal_s=steal_s,
        num_cpus=4,
    )


def test_the_machines_shares_are_of_the_time_that_its_counters_say_has_passed() -> None:
    # The clock was read 1 s late at the start: by it only 1 s passed, in which 6 of 4 CPU seconds
    # were used. The counters say 8 s: 6 busy, 1.5 idle, 0.5 stolen.
    start, end = counted(11.0, 0.0, 100.0, 50.0), counted(12.0, 5.0, 106.0, 51.5, 0.5)
    use = cpu_use(start, end)
    assert use is not None
    assert (use.machine_frac, use.steal_frac) == (0.75, 0.0625)
    assert use.process_frac == 1.0  # cut off: 5 of 4 CPU seconds


def test_a_kernel_that_does_not_count_idle_time_is_judged_by_the_clock() -> None:
    use = cpu_use(counted(10.0, 0.0, 100.0, 50.0), counted(20.0, 0.0, 110.0, 50.0))
    assert use is not None
    assert use.machine_frac == 0.25


def test_no_share_is_above_one() -> None:
    use = cpu_use(reading(10.0, 0.0, 0.0, 0.0), reading(10.5, 9.0, 9.0, 9.0))
    assert use is not None
    assert (use.process_frac, use.machine_frac, use.steal_frac) == (1.0, 1.0, 1.0)


def test_a_counter_that_runs_backwards_is_not_known() -> None:
    use = cpu_use(reading(10.0, 0.0, 9.0, 5.0), reading(11.0, 1.0, 8.0, 4.0))
    assert use is not None
    assert (use.machine_frac, use.steal_frac) == (None, None)


class HeldUp(FakeClock):
    """A clock of which some readings come late, because another thread held the interpreter."""

    def __init__(self, lateness_s: Sequence[float]) -> None:
        super().__init__(100.0)
        self._lateness_s = iter(lateness_s)

    def __call__(self) -> float:
        self.advance(next(self._lateness_s, 0.0))
        return super().__call__()


def test_a_reading_that_was_held_up_is_taken_again() -> None:
    # The first is held up by 2 s between counters and clock, the second by 1 ms.
    meter = CpuMeter(ProcessTree(), HeldUp([0.0, 2.0, 0.0, 0.001]))
    assert meter.read().at_s == pytest.approx(102.0005)


def test_of_readings_that_were_all_held_up_the_quickest_counts() -> None:
    meter = CpuMeter(ProcessTree(), HeldUp([0.0, 2.0, 0.0, 0.5, 0.0, 3.0, 0.0, 4.0, 0.0, 9.0]))
    assert meter.read().at_s == pytest.approx(102.25)


def test_a_reading_is_in_the_middle_of_the_time_that_it_took() -> None:
    assert CpuMeter(ProcessTree(), HeldUp([0.0, 0.002])).read().at_s == pytest.approx(100.001)


def test_the_tree_holds_a_reaped_child() -> None:
    tree = ProcessTree()
    before_s = tree.cpu_s(refresh=True)
    subprocess.run([sys.executable, "-c", BURN], check=True)
    assert tree.cpu_s() - before_s >= BURNT_S


def test_the_tree_holds_living_children_of_children_and_loses_nothing_when_they_end() -> None:
    tree = ProcessTree()
    before_s = tree.cpu_s(refresh=True)
    grandchild = f"{BURN}print('burnt', flush=True); __import__('sys').stdin.read()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        alive_s = tree.cpu_s(refresh=True) - before_s
        assert alive_s >= BURNT_S
        assert tree.rss_bytes() > ProcessTree(clock=FakeClock())._root.memory_info().rss
        process.communicate()
    assert tree.cpu_s(refresh=True) - before_s >= alive_s


def test_children_are_looked_for_at_most_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []

    def look(root: object) -> list[object]:
        looks.append(root)
        return []

    monkeypatch.setattr(system, "_descendants", look)
    clock = FakeClock()
    tree = ProcessTree(clock)
    for _ in range(5):  # at 0, 1, 2, 3 and 4 s
        tree.cpu_s()
        clock.advance(1.0)
    assert len(looks) == 3
    tree.cpu_s(refresh=True)
    assert len(looks) == 4


def test_the_machine_is_at_least_as_busy_as_this_process() -> None:
    meter = CpuMeter(ProcessTree())
    start = meter.read(refresh=True)
    sum(range(8_000_000))
    use = cpu_use(start, meter.read(refresh=True))
    assert use is not None
    assert 0 < use.process_frac <= 1.05
    assert use.machine_frac is not None
    # The kernel books the machine's time in ticks of 10 ms.
    assert use.machine_frac >= use.process_frac / 2


def test_the_machine_is_busy_with_all_but_idle_iowait_and_steal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 5000 400 7 8 90 60 5\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    monkeypatch.setattr(os, "sysconf", {"SC_CLK_TCK": 100}.__getitem__)
    with stat.open("rb") as file:
        monkeypatch.setattr(system, "_proc_stat", file.fileno)
        # user, nice, system, irq and softirq: 100 + 20 + 30 + 7 + 8 ticks, twice the same.
        for _ in range(2):
            times = system._machine_times()
            assert times.busy_s == pytest.approx(1.65)
            assert times.idle_s == pytest.approx(54.0)  # idle and iowait
            assert times.steal_s == pytest.approx(0.90)


@pytest.mark.parametrize("text", ["", "\n", "cpu\n", "cpu  1 2 3\n", "cpu  a b c d e f g h\n"])
def test_counters_of_the_kernel_that_hold_something_odd_are_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    stat = tmp_path / "stat"
    stat.write_text(text)
    with stat.open("rb") as file:
        monkeypatch.setattr(system, "_proc_stat", file.fileno)
        with pytest.raises(OSError, match="/proc/stat holds ") as odd:
            machine_busy_s()
        assert repr(text.split("\n")[0]) in str(odd.value)
        meter = CpuMeter(ProcessTree())
        found = meter.read()
        with pytest.raises(MeterUnavailable, match="no CPU times: /proc/stat holds "):
            CpuModelMeter(full_w=1.0).open()
    assert (found.machine_busy_s, found.machine_idle_s, found.steal_s) == (None, None, None)
    assert meter.unavailable == str(odd.value)
    use = cpu_use(replace(found, at_s=0.0), replace(found, at_s=1.0))
    assert use is not None
    assert (use.machine_frac, use.other_frac, use.steal_frac) == (None, None, None)


def test_the_machine_is_as_busy_as_psutil_says() -> None:
    before = psutil.cpu_times()
    busy_s = machine_busy_s()
    after = psutil.cpu_times()
    parts = ("user", "nice", "system", "irq", "softirq")
    low_s, high_s = (sum(getattr(times, part, 0.0) for part in parts) for times in (before, after))
    assert low_s - 0.001 <= busy_s <= high_s + 0.001  # room for rounding


def test_without_proc_psutil_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_proc_stat", lambda: None)
    monkeypatch.setattr(psutil, "cpu_times", lambda: SimpleNamespace(user=3.0, system=2.0, idle=9))
    times = system._machine_times()
    assert (times.busy_s, times.idle_s, times.steal_s) == (5.0, 9.0, None)


def test_peak_memory_is_what_the_kernel_says(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmPeak:\t  999 kB\nVmHWM:\t  2048 kB\n")
    assert process.peak_rss_bytes(status) == 2048 * 1024
    assert process.peak_rss_bytes() > 1 << 20
    assert process.peak_rss_bytes(tmp_path / "missing") > 1 << 20


def test_memory_of_children_leaves_this_process_out() -> None:
    """Both look at the same moment, so children that this process has anyway count in both."""
    own_bytes = process.ProcProcess(os.getpid()).rss_bytes()
    whole, children = ProcessTree(), ProcessTree(of_children=True)
    without_bytes = whole.rss_bytes() - children.rss_bytes()
    assert without_bytes == pytest.approx(own_bytes, rel=0.05)


@pytest.mark.parametrize(
    ("cpuinfo", "sockets"),
    [
        ("physical id\t: 0\n\nphysical id\t: 1\n\nphysical id\t: 0\n", 2),
        ("processor\t: 0\n", 1),
        ("", 1),
        # A virtual machine: each of its CPUs is shown as a socket.
        ("physical id\t: 0\nflags\t\t: fpu hypervisor\n\nphysical id\t: 1\n", 1),
        ("physical id\t: 0\nflags\t\t: fpu nohypervisor\n\nphysical id\t: 1\n", 2),
        ("model name\t: hypervisor\nphysical id\t: 0\n\nphysical id\t: 1\n", 2),
    ],
)
def test_sockets_are_counted(tmp_path: Path, cpuinfo: str, sockets: int) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(cpuinfo)
    assert system.num_sockets(path) == sockets
    assert system.num_sockets(tmp_path / "missing") == 1


def test_a_system_that_does_not_count_its_cpus_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert system.num_cpus() == os.cpu_count()
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: None)
    with pytest.raises(OSError, match="how many CPUs"):
        system.num_cpus()
