"""Limits of the server's process: its memory, its threads, and the files it may have open.

Memory is limited by a control group, threads by the environment, connections by open files.
The group is made below the one that this process is in, so that whatever limits this process holds
for the server as well. With cgroup v2 a group that has processes of its own can seldom have groups
with a memory limit below it; one beside it is then tried, if this process's group has no limits
that the server would escape from. Swap is not to make up for the memory: where it can be limited,
it is. Where no group can be made, the reason is kept.

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

# A process that has been waited for may stand in its group a moment longer.
_REMOVE_TRIES = 50
# Open beside connections: libraries, logs, pipes, the data set.
OTHER_FILES = 200
_REMOVE_WAIT_S = 0.02


class LimitUnavailable(OSError):  # noqa: N818 -- says what is missing, as the meters do
    """No memory limit can be set here; one line with the reason."""


def thread_environment(num_threads: int | None) -> dict[str, str]:
    """Environment variables that hold numerical libraries to so many threads from their start."""
    if num_threads is None:
        return {}
    libraries = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
    return {f"{library}_NUM_THREADS": str(num_threads) for library in libraries}


def allow_open_files(number: int) -> int:
    """Let this process, and those that it starts, have so many files open, or as many as may be.

    Returns:
        How many it may have open now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return number if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def require_connections(concurrency: int) -> None:
    """Refuse more connections than this process may have beside its other open files.

    Raises:
        ValueError: There are more; the message names the key.
    """
    allowed = allow_open_files(concurrency + OTHER_FILES)
    if allowed < concurrency + OTHER_FILES:
        raise ValueError(
            f"backend.http.concurrency={concurrency}: a process may have {allowed} files open here "
            f"(ulimit -n), {OTHER_FILES} of them others; lower it, or raise the limit"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryGroup:
    """A control group with a memory limit, for one process and its children."""

    folder: Path
    limit_bytes: int
    version: Literal[1, 2]

    @property
    def procs(self) -> Path:
        """The file that a process writes its number to, to join."""
        return self.folder / "cgroup.procs"

    @property
    def description(self) -> str:
        """What limits the memory, for the record."""
        file = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        return f"cgroup v{self.version}, {file}={self.limit_bytes}"

    def num_oom_kills(self) -> int:
        """How many processes of the group were killed at its limit.

        Raises:
            OSError: The group is gone.
        """
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        pairs = (line.split() for line in (self.folder / name).read_text().splitlines())
        return int(dict(pairs).get("oom_kill", "0"))

    def remove(self, remove: Callable[[Path], None] = Path.rmdir) -> None:
        """Remove the group, whose processes have ended.

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
    """A new group with a memory limit, below the one of this process or, in v2, beside it.

    Args:
        limit_bytes: Of all memory that is charged to the group, page cache included.
        name: Of the group; must be new.
        root: Holds proc/ and the mounted hierarchies.

    Raises:
        LimitUnavailable: None can be made here.
    """
    try:
        groups = Hierarchies(root).groups("memory")
    except OSError as error:
        raise LimitUnavailable(f"no control groups here ({error})") from error
    if not groups:
        raise LimitUnavailable("no mounted control group shows the memory of this process")
    own = groups[0]
    if (own / "memory.limit_in_bytes").exists():
        return _make(own, limit_bytes, name, 1, _V1_FILES)
    reasons = []
    for parent, usable in ((own, _enable), *((above, _sibling_of(own)) for above in groups[1:2])):
        try:
            usable(parent)
            return _make(parent, limit_bytes, name, 2, _V2_FILES)
        except LimitUnavailable as error:
            reasons.append(str(error))
    raise LimitUnavailable("; ".join(reasons))


# The files of the limit, in the order in which they must be written, and whether each must be
# there: swap is counted only by a kernel that was told to.
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
                # In v1 the second file counts memory and swap together, in v2 swap alone.
                value = 0 if file == "memory.swap.max" else limit_bytes
                (folder / file).write_text(str(value))
    except OSError as error:
        group.remove()
        raise LimitUnavailable(f"{folder}: takes no memory limit ({error.strerror})") from error
    return group


def _enable(group: Path) -> None:
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


def _sibling_of(own: Path) -> Callable[[Path], None]:
    """A check that the group above can have another one beside this process's own."""

    def usable(above: Path) -> None:
        for file in ("cpu.max", "memory.max"):
            if (own / file).exists() and (own / file).read_text().split()[0] != "max":
                raise LimitUnavailable(f"{own} has limits that a group beside it would not have")
        control = above / "cgroup.subtree_control"
        if not control.exists() or "memory" not in control.read_text().split():
            raise LimitUnavailable(f"{above} gives no memory limits to the groups below it")

    return usable
