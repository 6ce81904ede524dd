"""Accounts for all processes below a program, also for those that outlive their parents.

A server that a program starts in the background loses its parent. Here it becomes a child of this
process: its CPU time can be counted, and its load is not taken for that of others.

Source: prctl(2), PR_SET_CHILD_SUBREAPER, Linux 3.4.
"""

from __future__ import annotations

import ctypes
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

_SET_CHILD_SUBREAPER = 36
_GRACE_S, _LOOK_S = 1.0, 0.01


class Descendants:
    """The processes that are started in its `with` block, at any depth.

    Children that this process had before are somebody else's business.

    Attributes:
        num_left: How many were still running at the last count.
        cpu_time_s: CPU seconds of those that had ended by then.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Nothing is adopted yet.

        Args:
            sleep: Waits for a number of seconds.
        """
        self.num_left = 0
        self.cpu_time_s = 0.0
        self._sleep = sleep

    def __enter__(self) -> Self:
        _set_subreaper(1)
        self._before, self._before_s = _children(), _children_s()
        return self

    def __exit__(self, *exception: object) -> None:
        _set_subreaper(0)

    def count(self) -> None:
        """Wait a moment for those that are about to end, as servers do after their program."""
        for _ in range(round(_GRACE_S / _LOOK_S)):
            self._reap()
            if not self.num_left:
                break
            self._sleep(_LOOK_S)
        self.cpu_time_s = _children_s() - self._before_s

    def _reap(self) -> None:
        """Collect those that have ended; what one of them had started is a child from then on."""
        while any([os.waitpid(pid, os.WNOHANG)[0] for pid in _children() - self._before]):
            pass
        self.num_left = len(_children() - self._before)


def _set_subreaper(value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, value, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def _children() -> set[int]:
    """The processes whose parent is this one."""
    lists = Path("/proc/self/task").glob("*/children")  # one for each thread
    return {int(pid) for each in lists for pid in each.read_text().split()}


def _children_s() -> float:
    """CPU seconds of the processes below this one that have ended and been waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
