"""Becomes another program that ends with its parent, in a control group if one is given.

A bare interpreter runs this file by its path, as `spawn.py PARENT PROCS COMMAND...`. First it joins
the group whose cgroup.procs is PROCS (empty for none), before the program loads anything, so that
the group counts all of its memory. Then it asks the kernel to kill it once the thread that started
it is gone, so that a killed process leaves no server behind. Finally it turns into the program,
which thus keeps the process number that the parent knows.

Source: prctl(2), PR_SET_PDEATHSIG; Linux only, elsewhere the program is just started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Join, bind to the parent, and become the program."""
    parent, procs, *command = arguments
    if procs:
        with open(procs, "w") as file:
            file.write(str(os.getpid()))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the process that started this one is gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
