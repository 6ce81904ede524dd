"""Reads CPU time and memory from the operating system; the only module that uses psutil.

CPU use is a difference of cumulative CPU seconds in one of two scopes: the process tree or the
machine. Calls of psutil that return percentages are not used, since they keep a hidden baseline per
thread.

Values that are read often come from descriptors that are kept open. In the middle of a training,
with cold caches, the machine's line then takes 0.04 ms (psutil: 0.12 ms, which is 0.3% of 32 small
steps), and one tick of CpuSamples 0.17 ms (psutil: 0.3 ms). Finding child processes costs more.
psutil walks all of /proc, which takes longer on larger machines. The kernel's own lists of children
cost 0.1 ms, plus 0.03 ms per further thread; they are read every REFRESH_S, or on request. Without
/proc, psutil reads everything except this process's own time.
"""

from __future__ import annotations

import functools
import os
import resource
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.measure.clock import Clock, read_promptly
from bench.measure.os.cpu_use import CpuReading as CpuReading
from bench.measure.os.cpu_use import cpu_use as cpu_use
from bench.measure.os.process import Process, ProcProcess

# A child that lives for a shorter time is still counted when it is reaped.
REFRESH_S = 2.0

# Raised by any question about a process that is gone.
GONE = (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError)

# "cpu" and ten counters of at most 20 digits, each after a blank.
_CPU_LINE_BYTES = 256


def tick_s() -> float:
    """Seconds of a clock tick, in which the kernel counts CPU time."""
    return 1.0 / os.sysconf("SC_CLK_TCK")


def machine_busy_s() -> float:
    """Seconds that all CPUs together have spent on work since boot, in steps of a clock tick.

    Raises:
        OSError: The kernel's counters cannot be read.
    """
    ticks = _machine_ticks()
    return _machine_times().busy_s if ticks is None else _busy(ticks) * tick_s()


@dataclass(frozen=True, slots=True)
class _MachineTimes:
    """Cumulative seconds of all CPUs."""

    busy_s: float
    idle_s: float
    steal_s: float | None


def _machine_times() -> _MachineTimes:
    """Read the CPU times of the machine: user and nice include guests; idle and steal are no work.

    Raises:
        OSError: The times cannot be read.
    """
    ticks = _machine_ticks()
    if ticks is None:
        times = psutil.cpu_times()
        busy_s = float(times.user + getattr(times, "nice", 0.0) + times.system)
        return _MachineTimes(busy_s, float(times.idle), None)
    _, _, _, idle, iowait, _, _, steal = ticks
    seconds = tick_s()
    return _MachineTimes(_busy(ticks) * seconds, (idle + iowait) * seconds, steal * seconds)


def _machine_ticks() -> list[int] | None:
    """Clock ticks since boot: user, nice, system, idle, iowait, irq, softirq, steal.

    None without /proc.

    Raises:
        OSError: The ticks cannot be read.
    """
    stat = _proc_stat()
    if stat is None:
        return None
    # Source: proc_stat(5), first line: "cpu", then clock ticks since boot.
    line = os.pread(stat, _CPU_LINE_BYTES, 0).split(b"\n", 1)[0]
    try:
        ticks = [int(word) for word in line.split(None, 9)[1:9]]
    except ValueError:
        ticks = []
    if len(ticks) != 8:
        raise OSError(f"/proc/stat holds {line.decode(errors='replace')!r}")
    return ticks


def _busy(ticks: list[int]) -> int:
    user, nice, system, _, _, irq, softirq, _ = ticks
    return user + nice + system + irq + softirq


@functools.cache
def _proc_stat() -> int | None:
    """A descriptor of /proc/stat, never closed; None if there is no such file."""
    path = Path("/proc/stat")
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path.exists() else None


def num_cpus() -> int:
    """Logical CPUs of the machine, whether this process may use them or not.

    Raises:
        OSError: The system does not say.
    """
    count = psutil.cpu_count(logical=True)
    if count is None:
        raise OSError("the system does not tell how many CPUs there are")
    return count


def num_sockets(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """Processor packages; 1 if the system does not say, and in a virtual machine.

    A hypervisor invents the sockets of its virtual machines; many show one for each CPU.
    """
    if not cpuinfo.exists():
        return 1
    fields = [
        (name.strip(), value.split())
        for name, _, value in (
            line.partition(":") for line in cpuinfo.read_text(errors="replace").splitlines()
        )
    ]
    if any(name == "flags" and "hypervisor" in value for name, value in fields):
        return 1
    return max(1, len({tuple(value) for name, value in fields if name == "physical id"}))


class PsutilProcess:
    """Reads a process by psutil, on systems without /proc."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._process = psutil.Process(pid)

    def cpu_s(self) -> float:
        """See Process."""
        times = self._process.cpu_times()
        return times.user + times.system + times.children_user + times.children_system

    def rss_bytes(self) -> int:
        """See Process."""
        return self._process.memory_info().rss


class ProcessTree:
    """This process and all its descendants, living or reaped.

    Threads may share it; the worst that a race can cause is one more look for children.
    """

    def __init__(self, clock: Clock = time.monotonic, *, of_children: bool = False) -> None:
        """Look for no children yet.

        Args:
            clock: Monotonic seconds.
            of_children: Whether the memory of this process is left out. Then children are looked
                for at each tick: they come and go, and nothing else runs here that could be slowed.
        """
        self._clock = clock
        self._of_children = of_children
        self._refresh_s = 0.0 if of_children else REFRESH_S
        self._root = psutil.Process()
        has_proc = Path("/proc/self/statm").exists()
        self._look_at: Callable[[int], Process] = ProcProcess if has_proc else PsutilProcess
        self._own = self._look_at(self._root.pid)
        self._children: list[Process] = []
        self._looked_s = float("-inf")
        self._highest_s = 0.0

    def cpu_s(self, *, refresh: bool = False) -> float:
        """Cumulative CPU seconds of the tree, never decreasing.

        Args:
            refresh: Whether to look for new children now, as at the edges of a window.
        """
        # The root first: a child that is reaped now is then missing here, and never counted twice.
        total_s = _own_cpu_s()
        for child in self._living(refresh):
            with suppress(*GONE):
                total_s += child.cpu_s()
        self._highest_s = max(self._highest_s, total_s)
        return self._highest_s

    def rss_bytes(self) -> int:
        """Resident memory of the tree now; shared pages count in each process."""
        total_bytes = 0 if self._of_children else self._own.rss_bytes()
        for child in self._living(refresh=False):
            with suppress(*GONE):
                total_bytes += child.rss_bytes()
        return total_bytes

    def pids(self) -> set[int]:
        """Processes of the tree, as of the last look for children."""
        return {self._root.pid, *(child.pid for child in self._living(refresh=False))}

    def _living(self, refresh: bool) -> list[Process]:
        now_s = self._clock()
        if refresh or now_s - self._looked_s >= self._refresh_s:
            self._children = self._look(_descendants(self._root))
            self._looked_s = now_s
        return self._children

    def _look(self, pids: Iterable[int]) -> list[Process]:
        processes: list[Process] = []
        for pid in pids:
            with suppress(*GONE):
                processes.append(self._look_at(pid))
        return processes


class CpuMeter:
    """Reads both scopes at one moment.

    Attributes:
        unavailable: Why the machine's CPU times cannot be read; None if they can.
    """

    def __init__(self, tree: ProcessTree, clock: Clock = time.perf_counter) -> None:
        self.unavailable: str | None = None
        self._tree = tree
        self._clock = clock
        self._num_cpus = num_cpus()

    def read(self, *, refresh: bool = False) -> CpuReading:
        """Take a reading; `refresh` as in ProcessTree.cpu_s()."""
        refreshes = iter([refresh])  # looking once is enough, even if the times are read again
        at_s, (times, process_s) = read_promptly(
            self._clock,
            lambda: (self._machine_times(), self._tree.cpu_s(refresh=next(refreshes, False))),
        )
        return CpuReading(
            at_s=at_s,
            process_s=process_s,
            machine_busy_s=times.busy_s if times else None,
            machine_idle_s=times.idle_s if times else None,
            steal_s=times.steal_s if times else None,
            num_cpus=self._num_cpus,
        )

    def _machine_times(self) -> _MachineTimes | None:
        try:
            return _machine_times()
        except OSError as error:
            self.unavailable = str(error)
            return None


def _own_cpu_s() -> float:
    """CPU seconds of this process and of the descendants that it has reaped."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _descendants(root: psutil.Process) -> list[int]:
    """Process numbers of all descendants, by the kernel's lists or else by psutil."""
    if not Path(f"/proc/{root.pid}/task/{root.pid}/children").exists():
        return [child.pid for child in root.children(recursive=True)]
    descendants: list[int] = []
    waiting = _children(root.pid)
    while waiting:
        pid = waiting.pop()
        descendants.append(pid)
        waiting += _children(pid)
    return descendants


def _children(pid: int) -> list[int]:
    """Children of a process, by the kernel's lists, one per thread."""
    children: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        # A thread that has just ended has passed its children on to another thread; the next look
        # finds them there.
        with suppress(*GONE):
            children += map(int, path.read_text().split())
    return children
