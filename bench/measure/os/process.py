"""Reads CPU time and memory of one process, from files that are kept open.

A descriptor of a file in /proc belongs to the process for which it was opened. Once that process is
gone, reading fails, even if another process has taken its number.
"""

from __future__ import annotations

import os
import resource
import sys
import weakref
from pathlib import Path
from typing import Protocol

# Larger than any file that is read here.
_FILE_BYTES = 4096


class KeptFile:
    """A small kernel file that is opened once and read many times."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            OSError: It cannot be opened.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self) -> bytes:
        """Read its present content.

        Raises:
            OSError: What it describes is gone.
        """
        return os.pread(self._descriptor, _FILE_BYTES, 0)


class Process(Protocol):
    """A process that is read many times; every call raises once it is gone."""

    pid: int

    def cpu_s(self) -> float:
        """CPU seconds of the process and of the children that it has reaped."""

    def rss_bytes(self) -> int:
        """Resident memory of the process now."""


class ProcProcess:
    """Reads /proc; raises FileNotFoundError or ProcessLookupError once the process is gone."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._stat = KeptFile(Path(f"/proc/{pid}/stat"))
        self._statm = KeptFile(Path(f"/proc/{pid}/statm"))

    def cpu_s(self) -> float:
        """As in Process."""
        # Source: proc_pid_stat(5): utime, stime, cutime and cstime are fields 14 to 17, in clock
        # ticks; field 2 is a name in parentheses that may hold blanks and parentheses.
        fields = self._stat.read().rpartition(b")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def rss_bytes(self) -> int:
        """As in Process."""
        # Source: proc_pid_statm(5): the second field is what is resident, in pages.
        return int(self._statm.read().split()[1]) * resource.getpagesize()


def peak_rss_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Peak of this process's resident memory since its start.

    On Linux this is not ru_maxrss, which a process inherits from the one that executed it.
    """
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
