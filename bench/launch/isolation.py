"""Runs each job in a fresh process, forked from a server that has already imported the libraries.

A process of its own keeps memory peaks, allocator state, threads and crashes from affecting other
jobs. The parent sleeps in the kernel while the job runs, because polling would cost CPU time that
the run is charged for. The parent watches the job by a process descriptor and not through the fork
server: if the server is killed, the job continues.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.launch.child import GRACE_S, Inherited, begin_job, report_parent
from bench.launch.server import NotStarted, server_modules, start_server
from bench.launch.stopping import signal_name, signal_of, wait_for

# multiprocessing reports this exit code if the server is gone and the real one is unknown.
_EXIT_UNKNOWN = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended: its exit code or the signal that ended it; neither if that is unknown."""

    exit_code: int | None
    signal_name: str | None


class ForkServer:
    """Starts jobs in fresh processes, one at a time."""

    def __init__(self, preload: Sequence[str]) -> None:
        """Start nothing before the first job.

        Args:
            preload: Modules that the server imports once, before the first job. All objects of this
                class share one server; if the list is empty, it keeps the modules of the others.
        """
        self._context = multiprocessing.get_context("forkserver")
        if preload:
            self._context.set_forkserver_preload(server_modules(preload))
        self._server: int | None = None  # its process descriptor

    def begin_imports(self) -> None:
        """Start the server, which imports its modules while this process does something else.

        If it cannot be started, the first job gets the reason.
        """
        with suppress(NotStarted):
            start_server()

    def run(
        self,
        target: str,
        argument: Any,
        *,
        log: Path,
        on_message: Callable[[Any], None],
        lock: int | None = None,
    ) -> Ending:
        """Call `module:function` in a fresh process, and wait until it ends.

        Args:
            target: The function. It gets the argument, a function that sends a message to
                on_message, and the monotonic seconds at the launch.
            argument: A picklable argument.
            log: The file for everything that the child prints.
            on_message: Called in this process with each message.
            lock: Descriptor of the host's lock, which the job then holds too.

        Raises:
            KeyboardInterrupt: A signal came. It was passed to the child, which had time to end.
            NotStarted: The child could not be started.
        """
        self._start()
        receiver, sender = self._context.Pipe(duplex=False)
        kept = None if lock is None else Inherited(lock)
        process = self._context.Process(
            target=begin_job, args=(target, argument, sender, str(log), time.monotonic(), kept)
        )
        try:
            _start_process(process, sender, receiver)
            _accompany(process, receiver, on_message)
        finally:
            receiver.close()
        ending = self._ending(process)
        _end_group(process, grace_s=GRACE_S if ending.exit_code == 0 else 0)
        return ending

    def renew(self) -> None:
        """End the server, if it runs, and wait until another one has imported the modules.

        The new server is a new program with a memory layout of its own; a fork shares that of its
        server.

        Raises:
            NotStarted: No server could be started.
        """
        if self._server is not None:
            signal.pidfd_send_signal(self._server, signal.SIGKILL)
            wait([self._server])
        self._start()

    def _start(self) -> None:
        """Make the server import its modules, by starting a child that does nothing else.

        Otherwise the launch of the first job would include these imports, and take longer than that
        of the others. If the server was killed, start another one.
        """
        if self._server is not None:
            if not _has_ended(self._server):
                return
            os.close(self._server)
            self._server = None
        start_server()
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=report_parent, args=(sender,))
        try:
            _start_process(process, sender, receiver)
            self._server = watch(receiver.recv())
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
            return Ending(exit_code=None, signal_name=signal_name(-code))
        return Ending(exit_code=code, signal_name=None)


def _start_process(process: BaseProcess, sender: Connection, receiver: Connection) -> None:
    """Start a process, which then owns the sender.

    Raises:
        NotStarted: The process did not start, or the server died meanwhile.
    """
    try:
        with _as_plain_process():
            process.start()
    except (EOFError, OSError) as error:
        sender.close()
        # The server may have been killed after it forked the child. The child then holds the other
        # end of the pipe; wait until it closes it, because two jobs must not run at once.
        with suppress(EOFError):
            while True:
                receiver.recv()
        reason = getattr(error, "strerror", None) or "the fork server ended"
        raise NotStarted(f"its process could not be started: {reason}") from error
    sender.close()


@contextmanager
def _as_plain_process() -> Iterator[None]:
    """Have multiprocessing tell a child nothing about the program of this process.

    A child would import this program's main module, such as a worker of Ray, while its clock runs.
    It would also ask for this process's start method, which in a worker of joblib is one that only
    joblib knows.
    """
    main, method = sys.modules["__main__"], multiprocessing.get_start_method(allow_none=True)
    sys.modules["__main__"] = ModuleType("__main__")
    multiprocessing.set_start_method("forkserver", force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(method, force=True)
        sys.modules["__main__"] = main


def _accompany(
    process: BaseProcess, receiver: Connection, on_message: Callable[[Any], None]
) -> None:
    """Relay the messages of a child until it ends; stop it if this process is interrupted."""
    ended = watch(process.pid)
    try:
        _relay(receiver, process.sentinel if ended is None else ended, on_message)
    except BaseException as error:
        _stop(process, ended, signal_of(error))
        raise
    finally:
        if ended is not None:
            os.close(ended)


def watch(pid: int | None) -> int | None:
    """A descriptor that is readable once a process has ended; None if the system has none."""
    if pid is None or not hasattr(os, "pidfd_open"):
        return None
    with suppress(OSError):
        return os.pidfd_open(pid)
    return None


def _has_ended(process: int, within_s: float = 0.0) -> bool:
    return bool(wait([process], within_s))


def _relay(receiver: Connection, ended: int, on_message: Callable[[Any], None]) -> None:
    """Pass on messages until the child has ended."""
    open_ends: list[Any] = [receiver, ended]
    while ended in open_ends:
        for ready in wait_for(open_ends):
            if ready is not receiver:
                open_ends.remove(ready)
                continue
            try:
                on_message(receiver.recv())
            except EOFError:
                open_ends.remove(receiver)
    # The last messages may still be in the pipe, because wait() reports several of them as one.
    with suppress(EOFError):
        while receiver in open_ends and receiver.poll():
            on_message(receiver.recv())


def _stop(process: BaseProcess, ended: int | None, number: int) -> None:
    """Pass a signal on to the child, wait, and end the rest of its process group."""
    if process.pid is None:
        return
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
    _has_ended(process.sentinel if ended is None else ended, GRACE_S)
    _end_group(process)
    process.join()


def _end_group(process: BaseProcess, grace_s: float = 0.0) -> None:
    """End the processes that a child has started, such as ranks and data-loading workers.

    They hold the host's lock, and would disturb the next run.

    Args:
        process: The child.
        grace_s: How long they may continue before they are killed.
    """
    if process.pid is None:
        return
    deadline_s = time.monotonic() + grace_s
    with suppress(ProcessLookupError, PermissionError):  # usually all of them have ended
        while time.monotonic() < deadline_s:
            os.killpg(process.pid, 0)
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
