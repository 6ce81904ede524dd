"""One process by its number: CPU time and memory, from files that are kept open.

A descriptor of a file in /proc stays with the process that it was opened for: once that is gone,
reading fails, even when another process has got its number.
"""

from __future__ import annotations

import os
import resource
import weakref
from pathlib import Path
from typing import Protocol

# More than any file takes that is read here.
_FILE_BYTES = 4096


class KeptFile:
    """A small file of the kernel's that is opened once and read again and again."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            OSError: It cannot be opened.
        """
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)

    def read(self) -> bytes:
        """What is in it now.

        Raises:
            OSError: What it tells of is gone.
        """
        return os.pread(self._descriptor, _FILE_BYTES, 0)


class Process(Protocol):
    """A process that is looked at again and again; every call raises once it is gone."""

    pid: int

    def cpu_s(self) -> float:
        """Its CPU seconds and those of the children that it has reaped."""

    def rss_bytes(self) -> int:
        """Its resident memory now."""


class ProcProcess:
    """By its files in /proc; FileNotFoundError or ProcessLookupError once it is gone."""

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
