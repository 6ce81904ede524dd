"""Limits of the server's process: memory, threads and open files.

A control group limits memory, the environment limits threads, and the number of open files limits
connections. The group is made below that of this process, so that the limits of this process also
hold for the server. In cgroup v2, a group that has processes can seldom have groups with a memory
limit below it. A group beside it is then tried, unless the server would escape limits that way.
Swap is limited, too, if possible, because it would make up for the missing memory. If no group can
be made, the record has the reason.

Sources: kernel documentation, admin-guide/cgroup-v2.rst ("No Internal Process Constraint", "Memory
Interface Files") and admin-guide/cgroup-v1/memory.rst.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.measure.os.cgroup import Hierarchies

# A process that has ended may stay in its group a moment longer.
_REMOVE_TRIES = 50
_REMOVE_WAIT_S = 0.02
# Open files besides connections: libraries, logs, pipes, the data set.
OTHER_FILES = 200


class LimitUnavailable(OSError):  # noqa: N818 -- named like MeterUnavailable
    """No memory limit can be set here; one line with the reason."""


def thread_environment(num_threads: int | None) -> dict[str, str]:
    """Environment variables that limit the threads of numerical libraries from their start."""
    if num_threads is None:
        return {}
    libraries = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
    return {f"{library}_NUM_THREADS": str(num_threads) for library in libraries}


def allow_open_files(number: int) -> int:
    """Allow this process and its children so many open files, or as many as the system permits.

    Returns:
        The number that is allowed now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return number
    target = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft >= target:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    return target


def require_connections(concurrency: int) -> None:
    """Refuse more connections than this process may have besides its other open files.

    Raises:
        ValueError: There are more; the message names the key.
    """
    allowed = allow_open_files(concurrency + OTHER_FILES)
    if allowed < concurrency + OTHER_FILES:
        raise ValueError(
            f"backend.http.concurrency={concurrency}: a process may have {allowed} files open here "
            f"(ulimit -n), and needs {OTHER_FILES} besides connections; lower it, or raise the "
            "limit"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryGroup:
    """A control group with a memory limit, for one process and its children."""

    folder: Path
    limit_bytes: int
    version: Literal[1, 2]

    @property
    def procs(self) -> Path:
        """The file to which a process writes its number to join the group."""
        return self.folder / "cgroup.procs"

    @property
    def description(self) -> str:
        """The limit, for the record."""
        file = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        return f"cgroup v{self.version}, {file}={self.limit_bytes}"

    def num_oom_kills(self) -> int:
        """Number of processes that were killed because the group reached its limit.

        Raises:
            OSError: The group is gone.
        """
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        pairs = (line.split() for line in (self.folder / name).read_text().splitlines())
        return int(dict(pairs).get("oom_kill", "0"))

    def remove(self, remove: Callable[[Path], None] = Path.rmdir) -> None:
        """Remove the group after its processes have ended.

        Args:
            remove: Removes a folder.

        Raises:
            OSError: It cannot be removed.
        """
        for left in reversed(range(_REMOVE_TRIES)):
            try:
                return remove(self.folder)
            except OSError:
                if not left:
                    raise
                time.sleep(_REMOVE_WAIT_S)


def make_memory_group(limit_bytes: int, *, name: str, root: Path = Path("/")) -> MemoryGroup:
    """Make a group with a memory limit, below the group of this process or, in v2, beside it.

    Args:
        limit_bytes: Limit of all memory that is charged to the group, including page cache.
        name: Name of the group; must be new.
        root: Folder of proc/ and the mounted hierarchies.

    Raises:
        LimitUnavailable: No group can be made here; the message has all reasons.
    """
    try:
        groups = Hierarchies(root).groups("memory")
    except OSError as error:
        raise LimitUnavailable(f"no control groups here ({error})") from error
    if not groups:
        raise LimitUnavailable("no mounted control group shows the memory of this process")
    current, *ancestors = groups
    if (current / "memory.limit_in_bytes").exists():
        return _make(current, limit_bytes, name, 1, _V1_FILES)
    reasons = []
    for parent in (current, *ancestors[:1]):
        try:
            if parent is current:
                _enable_limits_below(current)
            else:
                _require_equal_sibling(current, parent)
            return _make(parent, limit_bytes, name, 2, _V2_FILES)
        except LimitUnavailable as error:
            reasons.append(str(error))
    raise LimitUnavailable("; ".join(reasons))


# The files of the limit, in the order in which they must be written, and whether each is required:
# not every kernel counts swap.
_V1_FILES = {"memory.limit_in_bytes": True, "memory.memsw.limit_in_bytes": False}
_V2_FILES = {"memory.max": True, "memory.swap.max": False}


def _make(
    parent: Path, limit_bytes: int, name: str, version: Literal[1, 2], files: Mapping[str, bool]
) -> MemoryGroup:
    folder = parent / name
    try:
        folder.mkdir()
    except OSError as error:
        raise LimitUnavailable(
            f"no permission to make a control group in {parent} ({error.strerror})"
        ) from error
    group = MemoryGroup(folder=folder, limit_bytes=limit_bytes, version=version)
    try:
        for file, required in files.items():
            if required or (folder / file).exists():
                # In v1, the second file limits memory and swap together; in v2, swap alone.
                value = 0 if file == "memory.swap.max" else limit_bytes
                (folder / file).write_text(str(value))
    except OSError as error:
        group.remove()
        raise LimitUnavailable(f"{folder}: takes no memory limit ({error.strerror})") from error
    return group


def _enable_limits_below(group: Path) -> None:
    """Let groups below this one have memory limits."""
    try:
        if "memory" not in (group / "cgroup.controllers").read_text().split():
            raise LimitUnavailable(f"{group} has no memory controller")
        control = group / "cgroup.subtree_control"
        if "memory" not in control.read_text().split():
            control.write_text("+memory")
    except LimitUnavailable:
        raise
    except OSError as error:
        raise LimitUnavailable(
            f"{group} cannot have groups with a memory limit below it ({error.strerror})"
        ) from error


def _require_equal_sibling(current: Path, parent: Path) -> None:
    """Refuse a group beside this process's own if it could not have the same limits."""
    for file in ("cpu.max", "memory.max"):
        if (current / file).exists() and (current / file).read_text().split()[0] != "max":
            raise LimitUnavailable(f"{current} has limits that a group beside it would not have")
    control = parent / "cgroup.subtree_control"
    if not control.exists() or "memory" not in control.read_text().split():
        raise LimitUnavailable(f"{parent} gives no memory limits to the groups below it")
