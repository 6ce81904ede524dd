"""Reads CPU time, throttling and memory of this process's control group: cgroup v1, v2, or both.

A container, a batch job or a systemd unit is a control group (cgroup). Its scope lies between the
process tree and the machine: it includes everything in the same container, and a CPU quota applies
to it. The counters are cumulative and read from descriptors that are kept open.

Throttling is counted at the group that has the quota, not at groups below it. So the counters of
all groups are added, from this process's own up to the highest that is visible here. Each counts
every CPU that stood still: two CPUs that wait for one second give two seconds. If a file cannot be
read, or does not hold numbers, its values are unknown.

Sources: kernel documentation, admin-guide/cgroup-v2.rst ("CPU Interface Files", "Memory Interface
Files"), admin-guide/cgroup-v1/cpuacct.rst and memory.rst, scheduler/sched-bwc.rst ("Statistics").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TypeVar

from bench.measure.clock import Clock, read_promptly
from bench.measure.os.cpu_use import difference, fraction
from bench.measure.os.process import KeptFile

T = TypeVar("T")

_WANTED_COUNTERS = ("usage_usec", "nr_throttled", "throttled_usec", "throttled_time")
# Values of these counters in a cpu.stat; None for one that is not a number.
_Counters = Mapping[str, int | None]

_V2 = ""  # /proc/self/cgroup names the one hierarchy of v2 by no controller.


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupReading:
    """Cumulative counters of the group and its children at one moment; None if absent.

    throttled_s is summed over CPUs, and over nested groups with a quota: if several throttle at the
    same time, each counts. memory_bytes is the memory in use now, page cache included.
    """

    at_s: float
    usage_s: float | None
    throttled_s: float | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupUse:
    """Use between two readings; None if the group does not count it.

    cpu_frac is a share of all CPUs of the machine, 0 to 1, as in the other scopes. throttled_frac
    is throttled time over elapsed time; with several CPUs it can exceed 1.
    """

    cpu_frac: float | None
    throttled_frac: float | None


def cgroup_use(start: CgroupReading, end: CgroupReading, *, num_cpus: int) -> CgroupUse | None:
    """Compute the use between two readings; None if no time passed between them."""
    elapsed_s = end.at_s - start.at_s
    if elapsed_s <= 0:
        return None
    used_s = difference(start.usage_s, end.usage_s)
    throttled_s = difference(start.throttled_s, end.throttled_s)
    return CgroupUse(
        cpu_frac=fraction(used_s, elapsed_s * num_cpus),
        throttled_frac=(
            None if throttled_s is None or throttled_s < 0 else throttled_s / elapsed_s
        ),
    )


class CgroupReader:
    """Reads the group in which this process is when the reader is made.

    Attributes:
        unavailable: Why no group can be read; None if one can.
        problems: Why some of its files could not be used, by path.
    """

    def __init__(self, root: Path = Path("/"), clock: Clock = time.perf_counter) -> None:
        """Find the group; if none can be read, `unavailable` says why.

        Args:
            root: The folder that holds proc/ and the paths in /proc/self/mountinfo.
            clock: Monotonic seconds.
        """
        self.unavailable: str | None = None
        self.problems: dict[Path, str] = {}
        self._clock = clock
        self._usage: KeptFile | None = None
        self._stats: list[KeptFile] = []
        self._memory: KeptFile | None = None
        try:
            self._find(Hierarchies(root))
        except OSError as error:
            self.unavailable = f"cgroup: {error}"
            return
        if not (self._usage or self._stats or self._memory):
            self.unavailable = "no mounted cgroup file system shows the group of this process"

    def read(self) -> CgroupReading | None:
        """Take a reading; None if the group cannot be read at all."""
        if self.unavailable is not None:
            return None
        at_s, (usage_s, throttled_s) = read_promptly(self._clock, self._times)
        return CgroupReading(
            at_s=at_s,
            usage_s=usage_s,
            throttled_s=throttled_s,
            memory_bytes=self._number(self._memory, self._text(self._memory)),
        )

    def _times(self) -> tuple[float | None, float | None]:
        """CPU time that was used, and that was throttled."""
        stats = [self._counters(file) for file in self._stats]
        return self._usage_s(stats), _throttled_s(stats)

    def _find(self, hierarchies: Hierarchies) -> None:
        """Open the files that exist; some belong to only one of the two versions."""
        if accounting := hierarchies.groups("cpuacct"):
            self._usage = _kept(accounting[0] / "cpuacct.usage")
        if memory := hierarchies.groups("memory"):
            self._memory = _kept(memory[0] / "memory.current") or _kept(
                memory[0] / "memory.usage_in_bytes"
            )
        groups = hierarchies.groups("cpu")
        files = [file for group in groups if (file := _kept(group / "cpu.stat"))]
        # The own group gives the CPU use. Of those above, the root of v2 throttles nothing.
        self._stats = files[:1] + [file for file in files[1:] if self._may_throttle(file)]

    def _may_throttle(self, file: KeptFile) -> bool:
        counters = self._counters(file)
        return counters is None or "nr_throttled" in counters

    def _text(self, file: KeptFile | None) -> str | None:
        """The content of a file; None if there is no file or it cannot be read."""
        if file is None:
            return None
        try:
            return file.read().decode(errors="replace")
        except OSError as error:
            self.problems[file.path] = f"{file.path}: {error}"
            return None

    def _number(self, file: KeptFile | None, text: str | None) -> int | None:
        """The number in a file; if it holds none, None, and the reason is kept."""
        if file is None or text is None:
            return None
        try:
            return int(text)
        except ValueError:
            self.problems[file.path] = f"{file.path} holds {text.strip()!r}, which is no number"
            return None

    def _counters(self, file: KeptFile) -> _Counters | None:
        """The counters of a cpu.stat by name; without any, None, and the reason is kept."""
        text = self._text(file)
        if text is None:
            return None
        pairs = (line.partition(" ") for line in text.splitlines())
        counters = {
            name: self._number(file, value) for name, _, value in pairs if name in _WANTED_COUNTERS
        }
        if not counters:
            self.problems[file.path] = f"{file.path} holds {text.strip()!r}, which counts nothing"
        return counters or None

    def _usage_s(self, stats: Sequence[_Counters | None]) -> float | None:
        if self._usage:
            return _seconds(self._number(self._usage, self._text(self._usage)), 1e9)
        return _seconds(stats[0].get("usage_usec"), 1e6) if stats and stats[0] else None


def _throttled_s(stats: Sequence[_Counters | None]) -> float | None:
    """Throttled time of all groups that may have a quota; None if one of them does not say."""
    total_s: float | None = None
    for stat in stats:
        if stat is None:
            return None
        # A group without a quota of its own has no such counter.
        if "nr_throttled" not in stat:
            continue
        seconds = _seconds(stat.get("throttled_usec"), 1e6)
        if seconds is None:
            seconds = _seconds(stat.get("throttled_time"), 1e9)  # v1 counts nanoseconds
        if seconds is None:
            return None
        total_s = (total_s or 0.0) + seconds
    return total_s


def _seconds(count: int | None, per_second: float) -> float | None:
    return None if count is None else count / per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    """Where a hierarchy is mounted, and which of its groups is at the top of the mount."""

    controllers: frozenset[str]
    top: PurePosixPath
    folder: Path


class Hierarchies:
    """The groups of this process, and where they are mounted."""

    def __init__(self, root: Path) -> None:
        """Read both from /proc.

        Raises:
            OSError: A file cannot be read, or is not understood.
        """
        self._own = _parsed(root / "proc/self/cgroup", _own_groups)
        self._mounts = _parsed(root / "proc/self/mountinfo", partial(_mounts, root=root))

    def groups(self, controller: str) -> list[Path]:
        """Folders of this process's group and of the visible groups above it, in this order.

        Empty if no mount shows the group: in a container, a mount may show only other groups, or
        begin above the namespace of the container ("/..").

        Source: proc_pid_mountinfo(5), cgroup_namespaces(7).
        """
        key = controller if controller in self._own else _V2
        own = self._own.get(key)
        # Above the namespace of a container, where its files are not visible.
        if own is None or ".." in own.parts:
            return []
        for mount in self._mounts:
            if key in mount.controllers and own.is_relative_to(mount.top):
                names = own.relative_to(mount.top).parts
                return [mount.folder.joinpath(*names[:n]) for n in range(len(names), -1, -1)]
        return []


def _parsed(path: Path, parse: Callable[[str], T]) -> T:
    text = path.read_text(errors="replace")
    try:
        return parse(text)
    except ValueError as error:
        raise OSError(f"{path} is not understood: {error}: {text[:200]!r}") from error


def _own_groups(cgroup: str) -> dict[str, PurePosixPath]:
    """Path of the own group by controller. Source: cgroups(7), "/proc/pid/cgroup"."""
    lines = (line.split(":", 2) for line in cgroup.splitlines())
    return {
        controller: PurePosixPath(path)
        for _, controllers, path in lines
        for controller in controllers.split(",")
    }


def _mounts(mountinfo: str, root: Path) -> list[_Mount]:
    """Mounted hierarchies. Source: proc_pid_mountinfo(5)."""
    mounts = []
    for line in mountinfo.splitlines():
        # Optional fields of any number come before the dash.
        place, _, kind = line.partition(" - ")
        file_system, _, options = kind.split(" ", 2)
        if file_system not in ("cgroup", "cgroup2"):
            continue
        top, folder = place.split()[3:5]
        names = options.split(",") if file_system == "cgroup" else [_V2]
        mounts.append(
            _Mount(
                controllers=frozenset(names),
                top=PurePosixPath(top),
                folder=root / folder.removeprefix("/"),
            )
        )
    return mounts


def _kept(path: Path) -> KeptFile | None:
    return KeptFile(path) if path.exists() else None
