"""What happens in the process of a job before and beside its work: signals, output, its end."""

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
from multiprocessing import util
from multiprocessing.connection import Connection
from typing import Any, Protocol

from bench.core.lock import adopt
from bench.core.stopping import COMMAND_GONE, STOP_SIGNALS, stop_reason

# Long enough to finish an evaluation and write the record, short enough for an impatient person.
GRACE_S = 30.0


class Interrupted(BaseException):
    """The run was asked to stop; says by what.

    Not a KeyboardInterrupt, which Lightning catches itself and turns into an exit.
    """


class _Descriptor(Protocol):
    file: int


def report_parent(sender: Connection) -> None:
    """Tell which process forked this one."""
    sender.send(os.getppid())


def begin_job(
    target: str,
    argument: Any,
    sender: Connection,
    log: str,
    launched_s: float,
    lock: _Descriptor | None,
) -> None:
    """The first function of the fresh process; see ForkServer.run for its arguments."""
    # A group of its own: Ctrl-C reaches the parent only, which tells this process once; and what
    # the job starts (data-loader workers) can be ended with it.
    os.setpgrp()
    interrupt = _InterruptOnce()
    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)
    _have_forks_end_by_signals()
    # That of this process would be the server's: workers of a loader would start as slowly as it,
    # on the clock, and could not be given a lock or an open file.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    if lock is not None:
        adopt(lock.file)
    _send_output_to(log)
    faulthandler.enable()
    threading.Thread(target=_interrupt_when_orphaned, args=(interrupt,), daemon=True).start()
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(argument, sender.send, launched_s)


class _InterruptOnce:
    """Handles the signals that stop a job: a second one must not break the writing of the record.

    It counts by itself and stays the handler: Lightning puts the handlers from before a training
    back when that is interrupted.
    """

    def __init__(self) -> None:
        """No signal has come."""
        self.reason: str | None = None  # in place of what the signal says
        self._has_come = False

    def __call__(self, number: int, frame: object) -> None:
        """Take a signal."""
        if not self._has_come:
            self._has_come = True
            raise Interrupted(self.reason or stop_reason(number))


def _have_forks_end_by_signals() -> None:
    """Let SIGTERM and SIGHUP end a process that the job forks, such as a loader's worker.

    They wait while the process forks: Python forgets a signal that comes to the child before its
    handler is gone.
    """
    ending = {signal.SIGTERM, signal.SIGHUP}

    def let_through() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)

    def without_handlers() -> None:
        for number in ending:
            signal.signal(number, signal.SIG_DFL)
        let_through()

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ending),
        after_in_parent=let_through,
        after_in_child=without_handlers,
    )


def _interrupt_when_orphaned(interrupt: _InterruptOnce) -> None:
    """Block until the command is gone: a job without one would go on unseen.

    One that hangs in native code, waiting for another rank, hears no signal and is killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        interrupt.reason = COMMAND_GONE
        os.kill(os.getpid(), signal.SIGINT)
        # Of the command, which would have removed it: the fork server's socket lies there.
        shutil.rmtree(util.get_temp_dir(), ignore_errors=True)
        time.sleep(GRACE_S)
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _send_output_to(log: str) -> None:
    """Send all that this process prints to a file, native code and crash traces included."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:  # the results folder is gone: the run says so where it first writes there
        file = os.open(os.devnull, os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
