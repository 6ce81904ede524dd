"""What a job's process does around its work: signals, output, and ending with its command."""

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
from bench.launch.stopping import COMMAND_GONE, STOP_SIGNALS, stop_reason

# Time to finish an evaluation and write the record, without trying a person's patience.
GRACE_S = 30.0


class Interrupted(BaseException):
    """The run shall stop; the message is the reason.

    Not a KeyboardInterrupt, which Lightning catches itself and turns into an exit.
    """


class _Descriptor(Protocol):
    file: int


def report_parent(sender: Connection) -> None:
    """Send the id of the process that forked this one."""
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
    # In a process group of its own, Ctrl-C reaches only the parent, which passes it on once; and
    # what the job starts (data-loading workers) can be ended with it.
    os.setpgrp()
    interrupt = _InterruptOnce()
    for number in STOP_SIGNALS:
        signal.signal(number, interrupt)
    _have_forks_end_by_signals()
    # Otherwise workers of a data loader would start through a fork server, too: slowly, on the
    # clock, and without a lock or an open file of this process.
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
        """Wait for the first signal."""
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
    """Stop the job once its command is gone: nobody would see its results.

    One that hangs in native code, waiting for another rank, hears no signal and is killed.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        interrupt.reason = COMMAND_GONE
        os.kill(os.getpid(), signal.SIGINT)
        # The command would have removed this folder, which holds the fork server's socket.
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
