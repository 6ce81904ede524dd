"""CPU time and memory from the operating system: the only module that uses psutil and /proc.

CPU use comes from differences of cumulative CPU seconds in two named scopes, the process tree and
the machine; percentage calls keep a hidden baseline per thread and are not used.

The machine is read at every evaluation, from a descriptor kept open: in the middle of a training,
with cold caches, that takes 0.04 ms and psutil 0.12 ms, which is 0.3% of 32 small steps. The tree
is read twice a second, for which psutil is good enough. Looking for children is dearer. psutil
walks all of /proc for it, whose cost grows with the machine; the kernel's own lists of children
cost 0.1 ms and 0.03 ms for each further thread, and are read only every REFRESH_S or when asked.
"""

from __future__ import annotations

import functools
import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.measure.clock import Clock

# A child that lives shorter than this between two looks is still counted when it is reaped.
REFRESH_S = 2.0

# "cpu" and ten counters of at most 20 digits, each after a blank.
_CPU_LINE_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuReading:
    """Cumulative CPU seconds at one moment; the zero of each means nothing.

    steal_s is time in which the hypervisor ran something else; it is in no busy time. None where
    the system does not tell.
    """

    at_s: float
    process_s: float
    machine_busy_s: float
    steal_s: float | None
    num_cpus: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuUse:
    """Means between two readings, as fractions of all CPUs of the machine, 0 to 1."""

    process_frac: float
    machine_frac: float
    steal_frac: float | None


def cpu_use(start: CpuReading, end: CpuReading) -> CpuUse | None:
    """Use between two readings; None where no time passed between them."""
    capacity_s = (end.at_s - start.at_s) * end.num_cpus
    if capacity_s <= 0:
        return None
    steal_frac = None
    if start.steal_s is not None and end.steal_s is not None:
        steal_frac = (end.steal_s - start.steal_s) / capacity_s
    return CpuUse(
        process_frac=(end.process_s - start.process_s) / capacity_s,
        machine_frac=(end.machine_busy_s - start.machine_busy_s) / capacity_s,
        steal_frac=steal_frac,
    )


def machine_busy_s() -> float:
    """Seconds that all CPUs together have spent on work since boot, in steps of a clock tick."""
    return _machine_times()[0]


def _machine_times() -> tuple[float, float | None]:
    """Cumulative busy and stolen seconds.

    Guests are in user and nice already. Idle, iowait and steal are no work.
    """
    stat = _proc_stat()
    if stat is None:
        times = psutil.cpu_times()
        return float(times.user + getattr(times, "nice", 0.0) + times.system), None
    # Source: proc_stat(5), first line: "cpu", then clock ticks since boot.
    fields = os.pread(stat, _CPU_LINE_BYTES, 0).split(b"\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields)
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) * tick_s, steal * tick_s


@functools.cache
def _proc_stat() -> int | None:
    """A descriptor of /proc/stat, never closed; None where there is no such file."""
    path = Path("/proc/stat")
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path.exists() else None


def num_cpus() -> int:
    """Logical CPUs of the machine, whether this process may use them or not.

    Raises:
        OSError: The system does not tell.
    """
    count = psutil.cpu_count(logical=True)
    if count is None:
        raise OSError("the system does not tell how many CPUs there are")
    return count


def num_sockets(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """Processor packages; 1 where the system does not tell."""
    if not cpuinfo.exists():
        return 1
    lines = cpuinfo.read_text().splitlines()
    return max(1, len({line for line in lines if line.startswith("physical id")}))


def peak_rss_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The most memory that this process had resident since its start.

    Not ru_maxrss on Linux: a process inherits that from the one that executed it.
    """
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class ProcessTree:
    """This process and all its descendants, living or reaped.

    Threads may share it: what they can race for is one more look for children.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._root = psutil.Process()
        self._children: list[psutil.Process] = []
        self._looked_s = float("-inf")
        self._highest_s = 0.0

    def cpu_s(self, *, refresh: bool = False) -> float:
        """Cumulative CPU seconds of the tree, never decreasing.

        Args:
            refresh: Look for new children now; do so at the edges of a window.
        """
        # The root first: a child reaped meanwhile is missing from this reading, never in it twice.
        total_s = _cpu_s(self._root)
        for child in self._living(refresh):
            try:
                total_s += _cpu_s(child)
            except psutil.NoSuchProcess:
                continue
        self._highest_s = max(self._highest_s, total_s)
        return self._highest_s

    def rss_bytes(self) -> int:
        """Resident memory of the tree now; pages that its processes share count in each."""
        total_bytes = self._root.memory_info().rss
        for child in self._living(refresh=False):
            try:
                total_bytes += child.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total_bytes

    def _living(self, refresh: bool) -> list[psutil.Process]:
        now_s = self._clock()
        if refresh or now_s - self._looked_s >= REFRESH_S:
            self._children = _descendants(self._root)
            self._looked_s = now_s
        return self._children


class CpuMeter:
    """Reads both scopes at one moment."""

    def __init__(self, tree: ProcessTree, clock: Clock = time.perf_counter) -> None:
        self._tree = tree
        self._clock = clock
        self._num_cpus = num_cpus()

    def read(self, *, refresh: bool = False) -> CpuReading:
        """One reading; refresh as in ProcessTree.cpu_s()."""
        busy_s, steal_s = _machine_times()
        return CpuReading(
            at_s=self._clock(),
            process_s=self._tree.cpu_s(refresh=refresh),
            machine_busy_s=busy_s,
            steal_s=steal_s,
            num_cpus=self._num_cpus,
        )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def _descendants(root: psutil.Process) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    waiting = _children(root)
    while waiting:
        child = waiting.pop()
        found.append(child)
        waiting += _children(child)
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    """Children by the kernel's lists, one for each thread, or by psutil where it has none."""
    lists = list(Path(f"/proc/{process.pid}/task").glob("*/children"))
    try:
        if not lists:
            return process.children()
        # A thread that ended meanwhile has passed its children on to another.
        pids = [pid for path in lists if path.exists() for pid in path.read_text().split()]
        return [psutil.Process(int(pid)) for pid in pids]
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return []  # The next look finds what is left.
