"""Prepares the fresh process of a job: signals, output, and what happens if its command dies."""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.reduction import DupFd
from typing import Any

from bench.core.lock import adopt_lock
from bench.launch.stopping import (
    COMMAND_GONE,
    STOP_SIGNALS,
    have_forks_end_by_signals,
    send_again_if_lost,
    stop_reason,
)

# Long enough to finish an evaluation and write the record, and short enough for a waiting person
# and for a batch system: SLURM kills a job 30 s after SIGTERM (KillWait).
GRACE_S = 20.0


class Interrupted(BaseException):
    """The run must stop; the message is the reason.

    It is not a KeyboardInterrupt, because Lightning catches those and exits.
    """


class Inherited:
    """A descriptor that a job gets from this process and keeps open until it ends."""

    def __init__(self, file: int) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (DupFd(self.file),)


def _receive(file: Any) -> Inherited:
    return Inherited(file.detach())


def report_parent(sender: Connection) -> None:
    """Send the id of the process that forked this one."""
    # A command that is interrupted while its fork server imports does not wait for the answer.
    with suppress(BrokenPipeError):
        sender.send(os.getppid())


def begin_job(
    target: str,
    argument: Any,
    sender: Connection,
    log: str,
    launched_s: float,
    lock: Inherited | None,
) -> None:
    """Run a job, as the first function of the fresh process; for its arguments see ForkServer.run.

    The function that the job names gets its argument, a function that sends a message to the
    parent, and the monotonic seconds at the launch.
    """
    # With a process group of its own, Ctrl-C in a terminal reaches only the parent, which passes it
    # on once. And the parent can end everything that the job starts, such as data-loading workers.
    os.setpgrp()
    interrupt = _InterruptOnce()
    interrupt.catch()
    have_forks_end_by_signals(lambda: (signal.SIGTERM, signal.SIGHUP))
    # This process came from a fork server, and the workers of a data loader would too: slowly, on
    # the clock, and without the lock and the open files of this process. Start them as usual.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    if lock is not None:
        adopt_lock(lock.file)
    _send_output_to(log)
    faulthandler.enable()
    threading.Thread(target=_interrupt_when_orphaned, args=(interrupt,), daemon=True).start()
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(argument, sender.send, launched_s)


class _InterruptOnce:
    """Raises Interrupted at the first signal, and ignores others while the record is written.

    It remembers the first signal itself instead of replacing the handler: Lightning restores the
    earlier handlers when a training is interrupted.
    """

    def __init__(self) -> None:
        """Wait for the first signal."""
        self.reason: str | None = None  # the reason, if the signal itself does not tell it
        self._is_done = False

    def catch(self) -> None:
        """Handle the signals that stop a run."""
        for number in STOP_SIGNALS:
            signal.signal(number, self)
        send_again_if_lost(Interrupted, self._take_again)

    def _take_again(self, lost: BaseException) -> None:
        self.reason, self._is_done = str(lost), False

    def __call__(self, number: int, frame: object) -> None:
        """Handle a signal."""
        if not self._is_done:
            self._is_done = True
            raise Interrupted(self.reason or stop_reason(number))


def interrupt_main(reason: str) -> None:
    """Interrupt the job from another thread, as a signal does.

    Native code is not interrupted: a job that waits in it for another rank goes on waiting.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if isinstance(handler, _InterruptOnce):
        handler.reason = reason
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt_when_orphaned(interrupt: _InterruptOnce) -> None:
    """Stop the job when its command dies, because nobody would see its results.

    A job that hangs in native code, waiting for another rank, handles no signal. It is killed after
    a while.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        interrupt.reason = COMMAND_GONE
        os.kill(os.getpid(), signal.SIGINT)
        # The command can no longer remove this folder, which contains the fork server's socket.
        shutil.rmtree(util.get_temp_dir(), ignore_errors=True)
        time.sleep(GRACE_S)
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _send_output_to(log: str) -> None:
    """Redirect standard output and error to a file, also for native code and crash traces."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # the results folder is gone; the run fails when it first writes there
        file = os.open(os.devnull, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
