"""CPU time, throttling and memory of the control group of this process: cgroup v1, v2, or both.

A container, a batch job or a systemd unit is a control group (cgroup). Its scope lies between the
process tree and the machine: it holds whatever else runs in the same container, and it is where a
CPU quota is set. The counters are cumulative and read from descriptors that are kept open.

Throttling counts at the group that has the quota, not at the groups below it, so the counters of
all groups from this process's own up to the top that is visible here are added. Each counts every
CPU that stood still, so two CPUs that wait for one second give two seconds.

Sources: kernel documentation, admin-guide/cgroup-v2.rst ("CPU Interface Files", "Memory Interface
Files"), admin-guide/cgroup-v1/cpuacct.rst and memory.rst, scheduler/sched-bwc.rst ("Statistics").
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.measure.clock import Clock
from bench.measure.process import KeptFile

_V2 = ""  # /proc/self/cgroup names the one hierarchy of v2 by no controller.


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupReading:
    """Cumulative counters of the group at one moment, its children included; None where absent.

    throttled_s is summed over CPUs, and over groups that have a quota one inside the other: of
    those that throttle at the same time, each counts. memory_bytes is what is in use now, page
    cache included.
    """

    at_s: float
    usage_s: float | None
    throttled_s: float | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupUse:
    """Between two readings; None where the group does not count it.

    cpu_frac is a share of all CPUs of the machine, 0 to 1, as in the other scopes. throttled_frac
    is the throttled time over the elapsed time, which several CPUs can drive above 1.
    """

    cpu_frac: float | None
    throttled_frac: float | None


def cgroup_use(start: CgroupReading, end: CgroupReading, *, num_cpus: int) -> CgroupUse | None:
    """Use between two readings; None where no time passed between them."""
    elapsed_s = end.at_s - start.at_s
    if elapsed_s <= 0:
        return None
    used_s = _difference(start.usage_s, end.usage_s)
    throttled_s = _difference(start.throttled_s, end.throttled_s)
    return CgroupUse(
        cpu_frac=None if used_s is None else used_s / (elapsed_s * num_cpus),
        throttled_frac=None if throttled_s is None else throttled_s / elapsed_s,
    )


class CgroupReader:
    """Reads the group that this process is in when the reader is made."""

    def __init__(self, root: Path = Path("/"), clock: Clock = time.perf_counter) -> None:
        """Find the group; where there is none to be read, `unavailable` says why.

        Args:
            root: Holds proc/ and what /proc/self/mountinfo names.
            clock: Monotonic seconds.
        """
        self.unavailable: str | None = None
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
        """One reading; None where the group cannot be read at all."""
        if self.unavailable is not None:
            return None
        stats = [_counters(file.read()) for file in self._stats]
        limited = [stat for stat in stats if "nr_throttled" in stat]
        return CgroupReading(
            at_s=self._clock(),
            usage_s=self._usage_s(stats),
            throttled_s=sum(map(_throttled_s, limited)) if limited else None,
            memory_bytes=int(self._memory.read()) if self._memory else None,
        )

    def _find(self, hierarchies: Hierarchies) -> None:
        """Open what there is; files that only the other version has do not exist."""
        if accounting := hierarchies.groups("cpuacct"):
            self._usage = _kept(accounting[0] / "cpuacct.usage")
        if memory := hierarchies.groups("memory"):
            self._memory = _kept(memory[0] / "memory.current") or _kept(
                memory[0] / "memory.usage_in_bytes"
            )
        groups = hierarchies.groups("cpu")
        files = [file for group in groups if (file := _kept(group / "cpu.stat"))]
        # The own group for its use; of those above, the root of v2 throttles nothing.
        self._stats = files[:1] + [f for f in files[1:] if "nr_throttled" in _counters(f.read())]

    def _usage_s(self, stats: Sequence[dict[str, int]]) -> float | None:
        if self._usage:
            return int(self._usage.read()) / 1e9
        if stats and "usage_usec" in stats[0]:
            return stats[0]["usage_usec"] / 1e6
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    """Where a hierarchy is mounted, and which of its groups is at the top there."""

    controllers: frozenset[str]
    top: PurePosixPath
    folder: Path


class Hierarchies:
    """The groups that this process is in, and where they are mounted."""

    def __init__(self, root: Path) -> None:
        self._own = _own_groups((root / "proc/self/cgroup").read_text())
        self._mounts = _mounts((root / "proc/self/mountinfo").read_text(), root)

    def groups(self, controller: str) -> list[Path]:
        """Folders of the own group and of those above it that are visible, in this order.

        Empty where no mount shows the own group: in a container, a mount that shows only other
        groups, or one that begins above the container's own namespace ("/..").

        Source: proc_pid_mountinfo(5), cgroup_namespaces(7).
        """
        key = controller if controller in self._own else _V2
        own = self._own.get(key)
        if own is None or ".." in own.parts:
            return []
        for mount in self._mounts:
            if key in mount.controllers and own.is_relative_to(mount.top):
                names = own.relative_to(mount.top).parts
                return [mount.folder.joinpath(*names[:n]) for n in range(len(names), -1, -1)]
        return []


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
    found = []
    for line in mountinfo.splitlines():
        place, _, kind = line.partition(" - ")
        file_system, _, options = kind.split(" ", 2)
        if file_system not in ("cgroup", "cgroup2"):
            continue
        top, folder = place.split()[3:5]
        names = options.split(",") if file_system == "cgroup" else [_V2]
        found.append(
            _Mount(
                controllers=frozenset(names),
                top=PurePosixPath(top),
                folder=root / folder.removeprefix("/"),
            )
        )
    return found


def _kept(path: Path) -> KeptFile | None:
    return KeptFile(path) if path.exists() else None


def _counters(text: bytes) -> dict[str, int]:
    pairs = (line.split() for line in text.decode().splitlines())
    return {name: int(value) for name, value in pairs}


def _throttled_s(stat: dict[str, int]) -> float:
    if "throttled_usec" in stat:
        return stat["throttled_usec"] / 1e6
    return stat["throttled_time"] / 1e9  # v1 counts nanoseconds


def _difference(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start
