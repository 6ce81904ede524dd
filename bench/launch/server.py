"""Starts the fork server of the jobs, which imports the libraries that they need.

multiprocessing runs code of its user in the server in one way only: by importing modules. So
bench.launch.before_imports and bench.launch.after_imports are the first and the last of them.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, util

from bench.launch.stopping import ignore_signals

# The environment variable that tells the server which process it must not outlive.
COMMAND_PID = "BENCH_FORK_SERVER_OF"
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# A socket's path has at most 108 bytes, which also have to hold the name of a folder in TMPDIR.
_LONGEST_TMPDIR = 60
_SHORT_TMPDIR = "/tmp"


class NotStarted(Exception):  # noqa: N818 -- says what happened to the job
    """The job's process could not be started; one line with the reason."""


def server_modules(modules: Sequence[str]) -> list[str]:
    """All modules that the server imports, in order, to have these imported for the jobs."""
    return ["bench.launch.before_imports", *modules, "bench.launch.after_imports"]


def begin_imports() -> None:
    """Import without garbage collections, and end with the command.

    What an import makes stays, so collections would only look through it again and again: a quarter
    of the time of all imports.
    """
    gc.disable()
    if (pid := os.environ.pop(COMMAND_PID, None)) is not None and sys.platform == "linux":
        _end_with(int(pid))


def finish_imports() -> None:
    """Collect garbage again, but leave out what has been imported.

    A collection in a job would take 0.3 s to look through the modules, and copy their memory. Here,
    it would take half a second and find little.
    """
    gc.freeze()
    gc.enable()


def _end_with(pid: int) -> None:
    """Have the kernel kill this process when its parent ends, even by `kill -9`.

    The server itself looks for its parent only between jobs, not during imports of several seconds.
    The jobs that it forks do not inherit this.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != pid:  # it ended before the kernel was asked
        os.kill(os.getpid(), signal.SIGKILL)


def _choose_socket_folder() -> None:
    """Make multiprocessing put the server's socket in /tmp if the path of TMPDIR is too long.

    Raises:
        NotStarted: No folder can be made there.
    """
    before = tempfile.tempdir
    try:
        if len(tempfile.gettempdir()) > _LONGEST_TMPDIR:
            tempfile.tempdir = _SHORT_TMPDIR
        util.get_temp_dir()  # creates the folder, and returns the same one from now on
    except OSError as error:
        raise NotStarted(
            f"TMPDIR={tempfile.gettempdir()}: no folder can be made there ({error.strerror})"
        ) from error
    finally:
        tempfile.tempdir = before


def start_server() -> None:
    """Start the server, unless it is running.

    It ignores the signals of a terminal or batch system. A closed terminal and `docker stop` send
    signals to all processes. Without its server, this process could not see how a job ends that is
    still writing its record. A new process inherits ignored signals, so the server is safe even
    while it imports its modules.

    Raises:
        NotStarted: It cannot be started.
    """
    _choose_socket_folder()
    with ignore_signals(), _named_as_command():
        try:
            forkserver.ensure_running()
        except OSError as error:
            reason = error.strerror or error
            raise NotStarted(f"its fork server could not be started: {reason}") from error


@contextmanager
def _named_as_command() -> Iterator[None]:
    """Have a server that starts in the block end with this process, and end within its imports.

    Only a server of the main thread: the kernel takes the end of the thread that has started a
    process for the end of its parent.
    """
    if threading.current_thread() is threading.main_thread():
        os.environ[COMMAND_PID] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(COMMAND_PID, None)
