"""Runs each job in a fresh process, cheaply: a child of a fork server with the libraries imported.

Memory peaks, allocator state, threads and crashes stay the job's own. The parent sleeps in the
kernel while the job runs: a polling parent would be billed to the run as CPU time.
"""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# Long enough to finish an evaluation and write the record, short enough for an impatient person.
GRACE_S = 30.0


class Interrupted(BaseException):
    """The run was asked to stop.

    Not a KeyboardInterrupt, which Lightning catches itself and turns into an exit.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a child ended: its exit code, or the signal that ended it."""

    exit_code: int | None
    signal_name: str | None


class ForkServer:
    """Starts jobs in fresh processes, one at a time."""

    def __init__(self, preload: Sequence[str]) -> None:
        """Nothing is started before the first job.

        Args:
            preload: Modules that the server imports once, before the first job.
        """
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._has_started = False

    def run(
        self, target: str, argument: Any, *, log: Path, on_message: Callable[[Any], None]
    ) -> Ending:
        """Call `module:function` with one picklable argument in a fresh process, and wait.

        Args:
            target: The function; it also gets a callable that sends a message to on_message.
            argument: Passed to it, with launched_s (monotonic seconds at the launch).
            log: File that takes all that the child prints.
            on_message: Called here with each message.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; the child was told and given time to end.
        """
        self._start()
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_child, args=(target, argument, sender, str(log), time.monotonic())
        )
        process.start()
        sender.close()
        try:
            _relay(receiver, process, on_message)
        except BaseException:
            _stop(process)
            raise
        finally:
            receiver.close()
        process.join()
        ending = _ending(process)
        if ending.exit_code != 0:
            _end_group(process)
        return ending

    def _start(self) -> None:
        """Have the server import what it is to import, with a child that does nothing.

        The first job would pay for it otherwise, and its launch would take longer than that of the
        others: by the order of jobs, and not by anything of its own.
        """
        if not self._has_started:
            _start_deaf_server()
            process = self._context.Process(target=_do_nothing)
            process.start()
            process.join()
            self._has_started = True


def _start_deaf_server() -> None:
    """Start the server such that SIGTERM does not end it, which it inherits from here.

    `docker stop` and the like send SIGTERM to all processes: without its server this process could
    not see that a job is still writing its record.
    """
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGTERM, before)


def _do_nothing() -> None:
    """Start the server."""


def _relay(receiver: Connection, process: BaseProcess, on_message: Callable[[Any], None]) -> None:
    """Hand on messages until the child has ended."""
    open_ends: list[Any] = [receiver, process.sentinel]
    while process.sentinel in open_ends:
        for ready in wait(open_ends):
            if ready is not receiver:
                open_ends.remove(ready)
                continue
            try:
                on_message(receiver.recv())
            except EOFError:
                open_ends.remove(receiver)
    # Its last words may lie there still: several, of which each wait() tells as one.
    with suppress(EOFError):
        while receiver in open_ends and receiver.poll():
            on_message(receiver.recv())


def _stop(process: BaseProcess) -> None:
    """Ask the child to end, wait, and end what is left of its group."""
    if process.pid is None:
        return
    if process.is_alive():
        os.kill(process.pid, signal.SIGINT)
        process.join(GRACE_S)
    _end_group(process)
    process.join()


def _end_group(process: BaseProcess) -> None:
    """End a child and all that it had started: ranks, workers that load data."""
    if process.pid is not None:
        with suppress(ProcessLookupError):  # there may be nothing left
            os.killpg(process.pid, signal.SIGKILL)


def _ending(process: BaseProcess) -> Ending:
    code = process.exitcode
    if code is not None and code < 0:
        return Ending(exit_code=None, signal_name=signal.Signals(-code).name)
    return Ending(exit_code=code, signal_name=None)


def _child(target: str, argument: Any, sender: Connection, log: str, launched_s: float) -> None:
    """The first function of the fresh process."""
    # A group of its own: Ctrl-C reaches the parent only, which tells this process once; and what
    # the job starts (data-loader workers) can be ended with it.
    os.setpgrp()
    interrupt = _InterruptOnce()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    _have_forks_end_by_sigterm()
    # That of this process would be the server's: workers of a loader would start as slowly as it,
    # on the clock, and could not be given a lock or an open file.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    _send_output_to(log)
    faulthandler.enable()
    threading.Thread(target=_interrupt_when_orphaned, daemon=True).start()
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(argument, sender.send, launched_s)


class _InterruptOnce:
    """Handles SIGINT and SIGTERM: a second signal must not break the writing of the record.

    It counts by itself and stays the handler: Lightning puts the handlers from before a training
    back when that is interrupted.
    """

    def __init__(self) -> None:
        """No signal has come."""
        self._has_come = False

    def __call__(self, number: int, frame: object) -> None:
        """Take a signal."""
        if not self._has_come:
            self._has_come = True
            raise Interrupted


def _have_forks_end_by_sigterm() -> None:
    """Let SIGTERM end a process that the job forks, such as a loader's worker, as any other.

    It waits while the process forks: Python forgets a signal that comes to the child before its
    handler is gone.
    """
    terminate = {signal.SIGTERM}

    def let_through() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, terminate)

    def without_handler() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        let_through()

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, terminate),
        after_in_parent=let_through,
        after_in_child=without_handler,
    )


def _interrupt_when_orphaned() -> None:
    """Block until the parent is gone: a job without one would go on unseen and unlocked.

    One that hangs in native code, waiting for another rank, hears no signal and is killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(GRACE_S)
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _send_output_to(log: str) -> None:
    """Send all that this process prints to a file, native code and crash traces included."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
