"""Names a process so that another one can find out whether it is still alive."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process on some host, as it can be found again.

    Attributes:
        host: The name of the host.
        pid: Its number there.
        start_ticks: When it started, in the kernel's ticks since its boot; a number may be used
            again. None if the system does not tell.
    """

    host: str
    pid: int
    start_ticks: int | None

    @classmethod
    def current(cls) -> Process:
        """This process."""
        pid = os.getpid()
        return cls(host=platform.node(), pid=pid, start_ticks=_start_ticks(pid))

    def is_alive(self) -> bool | None:
        """Whether it is alive; None if it is on another host, where nobody can look."""
        if self.host != platform.node():
            return None
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):  # no process has so large a number
            return False
        except PermissionError:  # it belongs to another user
            pass
        return _start_ticks(self.pid) == self.start_ticks


def _start_ticks(pid: int) -> int | None:
    try:
        # The name of the program, in parentheses, may contain anything.
        values = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return int(values[19])  # field 22 of proc_pid_stat(5)
