"""Stops the jobs that a launcher of Hydra makes in other processes of the command's host."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from bench.cli.terminal import say
from bench.core.process import Process
from bench.core.sweep_folder import JobNote, SweepFolder
from bench.launch.child import GRACE_S

_STOPPED = "stopped"  # the file in the folder of a sweep that keeps further jobs from beginning
# A run ends within GRACE_S; the process that waits for it then reads or writes its record.
_PATIENCE_S = GRACE_S + 5.0
_LOOK_EVERY_S = 0.1


def stop_jobs(
    folder: Path | None,
    number: int,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Pass a signal on to the jobs at work on this host, and wait until they have their records.

    Without this, joblib would kill them when the signal interrupts it, and submitit would let them
    go on. Jobs of a batch system are left to its launcher.

    Args:
        folder: The folder of the sweep; None without a sweep.
        number: The signal.
        clock: Returns monotonic seconds.
        sleep: Waits this number of seconds.
    """
    if folder is None or not folder.is_dir():  # nothing has been launched
        return
    try:
        (folder / _STOPPED).touch()
    except OSError as error:  # a waiting job may then begin, and is stopped in its turn
        say(Console(stderr=True), f"note: {folder}: cannot write there ({error.strerror})")
    sweep = SweepFolder(folder)
    signalled: set[Process] = set()
    deadline_s = clock() + _PATIENCE_S
    while at_work := [note.process for note in sweep.read_notes().values() if _is_here(note)]:
        for process in at_work:
            if process not in signalled:
                signalled.add(process)
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)
        if clock() > deadline_s:
            return
        sleep(_LOOK_EVERY_S)


def forget_stop(folder: Path) -> None:
    """Let the jobs of a new sweep begin in a folder in which an earlier one was stopped."""
    with suppress(OSError):  # a folder that cannot be written is reported by whoever must write
        (folder / _STOPPED).unlink()


def is_stopped(folder: Path | None) -> bool:
    """Whether the command of a sweep was stopped, so that no further job may begin."""
    return folder is not None and (folder / _STOPPED).exists()


def _is_here(note: JobNote) -> bool:
    """Whether a process of this host is making the job, and no batch system has started it."""
    return not note.ended and note.scheduler is None and bool(note.process.is_alive())
