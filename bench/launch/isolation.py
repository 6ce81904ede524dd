"""Runs each job in a fresh process, cheaply: a child of a fork server with the libraries imported.

Memory peaks, allocator state, threads and crashes stay the job's own. The parent sleeps in the
kernel while the job runs: a polling parent would be billed to the run as CPU time.

A job is watched by its own process descriptor: the fork server may be killed, and the job goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver, util
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from bench.launch.child import GRACE_S, begin_job, report_parent
from bench.launch.stopping import signal_of

# The exit code that multiprocessing makes up if the server is gone and cannot report one.
_EXIT_UNKNOWN = 255
# The path of a socket has at most 108 bytes: TMPDIR, the name of the folder and that of the socket.
_LONGEST_TMPDIR = 60
_SHORT_TMPDIR = "/tmp"


class NotStarted(Exception):  # noqa: N818 -- says what happened to the job
    """The job's process could not be started; one line with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended: its exit code or the signal that ended it; neither if that is unknown."""

    exit_code: int | None
    signal_name: str | None


class Inherited:
    """A descriptor that a job gets from this process and keeps open until it ends."""

    def __init__(self, file: int) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (DupFd(self.file),)


def _received(file: Any) -> Inherited:
    return Inherited(file.detach())


class ForkServer:
    """Starts jobs in fresh processes, one at a time."""

    def __init__(self, preload: Sequence[str]) -> None:
        """Nothing is started before the first job.

        Args:
            preload: Modules that the server imports once, before the first job. There is one
                server for the whole process: without any, it imports what others asked for.
        """
        self._context = multiprocessing.get_context("forkserver")
        if preload:
            self._context.set_forkserver_preload(list(preload))
        self._server: int | None = None  # its process descriptor

    def run(
        self,
        target: str,
        argument: Any,
        *,
        log: Path,
        on_message: Callable[[Any], None],
        lock: int | None = None,
    ) -> Ending:
        """Call `module:function` with one picklable argument in a fresh process, and wait.

        Args:
            target: The function; it also gets a callable that sends a message to on_message.
            argument: Passed to it, with launched_s (monotonic seconds at the launch).
            log: File that takes all that the child prints.
            on_message: Called here with each message.
            lock: Descriptor of the host's lock, which the job then holds too.

        Raises:
            KeyboardInterrupt: A signal came; the child was told and given time to end.
            NotStarted: The child could not be started.
        """
        self._start()
        receiver, sender = self._context.Pipe(duplex=False)
        kept = None if lock is None else Inherited(lock)
        process = self._context.Process(
            target=begin_job, args=(target, argument, sender, str(log), time.monotonic(), kept)
        )
        try:
            _started(process, sender, receiver)
            _accompany(process, receiver, on_message)
        finally:
            receiver.close()
        ending = self._ending(process)
        _end_group(process, grace_s=GRACE_S if ending.exit_code == 0 else 0)
        return ending

    def _start(self) -> None:
        """Let the server do its imports, by starting a child that does nothing else.

        The first job would pay for it otherwise, and its launch would take longer than that of the
        others: by the order of jobs, and not by anything of its own. A server that was killed is
        started anew.
        """
        if self._server is not None:
            if not _has_ended(self._server):
                return
            os.close(self._server)
            self._server = None
        _settle_folder()
        _start_deaf_server()
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=report_parent, args=(sender,))
        try:
            _started(process, sender, receiver)
            self._server = _watch(receiver.recv())
            process.join()
        except EOFError as error:
            raise NotStarted("its fork server ended while it was being started") from error
        finally:
            receiver.close()

    def _ending(self, process: BaseProcess) -> Ending:
        process.join()
        code = process.exitcode
        lost = self._server is not None and _has_ended(self._server)
        if code == _EXIT_UNKNOWN and lost:
            return Ending(exit_code=None, signal_name=None)
        if code is not None and code < 0:
            return Ending(exit_code=None, signal_name=signal.Signals(-code).name)
        return Ending(exit_code=code, signal_name=None)


def _started(process: BaseProcess, sender: Connection, receiver: Connection) -> None:
    """Start a process, which then owns the sender.

    Raises:
        NotStarted: It did not start, or the server ended over it.
    """
    try:
        process.start()
    except (EOFError, OSError) as error:
        sender.close()
        # The server may have been killed after it had forked the child, which holds the other end
        # of the pipe: two jobs must not run at once.
        with suppress(EOFError):
            while True:
                receiver.recv()
        reason = getattr(error, "strerror", None) or "the fork server ended"
        raise NotStarted(f"its process could not be started: {reason}") from error
    sender.close()


def _accompany(
    process: BaseProcess, receiver: Connection, on_message: Callable[[Any], None]
) -> None:
    """Hand on the messages of a child until it has ended, or stop it if this process shall stop."""
    ended = _watch(process.pid)
    try:
        _relay(receiver, process.sentinel if ended is None else ended, on_message)
    except BaseException as error:
        _stop(process, ended, signal_of(error))
        raise
    finally:
        if ended is not None:
            os.close(ended)


def _settle_folder() -> None:
    """Choose the folder of the server's socket while the path of TMPDIR is not too long for one.

    Raises:
        NotStarted: No folder can be used.
    """
    before = tempfile.tempdir
    try:
        if len(tempfile.gettempdir()) > _LONGEST_TMPDIR:
            tempfile.tempdir = _SHORT_TMPDIR
        util.get_temp_dir()
    except OSError as error:
        raise NotStarted(
            f"TMPDIR={tempfile.gettempdir()}: no folder can be made there ({error.strerror})"
        ) from error
    finally:
        tempfile.tempdir = before


def _start_deaf_server() -> None:
    """Start the server such that no signal of a terminal or batch system ends it.

    `docker stop` and a terminal that is closed signal all processes: without its server this
    process could not see how a job ended that is still writing its record. What a process ignores,
    the one that it starts ignores too, also while it imports what it is to import.
    """
    with _ignored(signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        try:
            forkserver.ensure_running()
        except OSError as error:
            reason = error.strerror or error
            raise NotStarted(f"its fork server could not be started: {reason}") from error


@contextmanager
def _ignored(*numbers: int) -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(pid: int | None) -> int | None:
    """A descriptor that is readable once a process has ended; None where the system has none."""
    if pid is None or not hasattr(os, "pidfd_open"):
        return None
    with suppress(OSError):
        return os.pidfd_open(pid)
    return None


def _has_ended(process: int, within_s: float = 0.0) -> bool:
    return bool(wait([process], within_s))


def _relay(receiver: Connection, ended: int, on_message: Callable[[Any], None]) -> None:
    """Hand on messages until the child has ended."""
    open_ends: list[Any] = [receiver, ended]
    while ended in open_ends:
        for ready in wait(open_ends):
            if ready is not receiver:
                open_ends.remove(ready)
                continue
            try:
                on_message(receiver.recv())
            except EOFError:
                open_ends.remove(receiver)
    # Its last messages may still be in the pipe; wait() reports several of them once.
    with suppress(EOFError):
        while receiver in open_ends and receiver.poll():
            on_message(receiver.recv())


def _stop(process: BaseProcess, ended: int | None, number: int) -> None:
    """Pass a signal on to the child, wait, and end what is left of its process group."""
    if process.pid is None:
        return
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
    _has_ended(process.sentinel if ended is None else ended, GRACE_S)
    _end_group(process)
    process.join()


def _end_group(process: BaseProcess, grace_s: float = 0.0) -> None:
    """End the processes that a child has started: ranks, data-loading workers.

    They hold the host's lock, and would be at work beside the next run.

    Args:
        process: The child, which has ended or is to be ended.
        grace_s: How long they may go on.
    """
    if process.pid is None:
        return
    deadline_s = time.monotonic() + grace_s
    with suppress(ProcessLookupError, PermissionError):  # there is usually nothing left
        while time.monotonic() < deadline_s:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
