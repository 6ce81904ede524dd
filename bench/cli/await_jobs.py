"""Waits for jobs that other processes may still be making after their launcher has returned."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from bench.core.sweep_folder import JobNote, SweepFolder
from bench.launch.slurm import SlurmError, SlurmStates

# For a job to note its begin and its end, if nobody can tell whether it is being made. A job that
# is being made may measure for hours, and is waited for.
_PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.5
_ASK_EVERY_S = 10.0  # clusters complain about commands that ask more often


class Waiting:
    """Waits for jobs."""

    def __init__(
        self,
        *,
        states: SlurmStates | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Wait for nothing yet.

        Args:
            states: What to ask for the states of jobs in SLURM.
            clock: Returns monotonic seconds.
            sleep: Waits this number of seconds.
        """
        self._slurm = states or SlurmStates()
        self._clock = clock
        self._sleep = sleep
        self._asked_s = -_ASK_EVERY_S
        self._in_slurm: dict[str, bool] = {}  # whether SLURM still has a job, by its id

    def for_jobs(self, folder: SweepFolder, nums: Collection[int], *, may_begin: bool) -> None:
        """Wait until the jobs have ended, or nobody can tell any more that they will.

        Args:
            folder: The folder of the sweep.
            nums: The numbers of the jobs.
            may_begin: Whether a job without a note may still be on its way.
        """
        deadline_s = self._clock() + _PATIENCE_S
        while True:
            notes = folder.read_notes()
            self._ask_slurm(nums, notes)
            states = [
                self._is_made(notes[num]) if num in notes else (None if may_begin else False)
                for num in nums
            ]
            if True in states:
                deadline_s = self._clock() + _PATIENCE_S
            elif None not in states or self._clock() > deadline_s:
                return
            self._sleep(_LOOK_EVERY_S)

    def for_log(self, log: Path, most_s: float) -> None:
        """Wait until no process of this host writes a run's log any more.

        A run whose command is killed stops by itself, and may still be writing its record.
        """
        deadline_s = self._clock() + most_s
        while is_written_to(log) and self._clock() < deadline_s:
            self._sleep(_LOOK_EVERY_S)

    def for_file(self, path: Path, most_s: float) -> None:
        """Wait for a file that another host has written: network file systems cache folders."""
        deadline_s = self._clock() + most_s
        while not path.exists() and self._clock() < deadline_s:
            with suppress(OSError):
                os.utime(path.parent)
            self._sleep(_LOOK_EVERY_S)

    def _is_made(self, note: JobNote) -> bool | None:
        """Whether a job is still being made; None if nobody can tell."""
        if note.ended:
            return False
        alive = note.process.is_alive()
        # The note of a job that SLURM no longer has may still be on its way.
        return (self._in_slurm.get(note.slurm_id or "") or None) if alive is None else alive

    def _ask_slurm(self, nums: Collection[int], notes: Mapping[int, JobNote]) -> None:
        """Ask which jobs of other hosts SLURM still has, but not too often."""
        now_s = self._clock()
        others = [notes[num] for num in nums if num in notes and not notes[num].ended]
        ids = [note.slurm_id for note in others if note.slurm_id and not note.process.is_alive()]
        if ids and now_s - self._asked_s >= _ASK_EVERY_S:
            self._asked_s = now_s
            with suppress(SlurmError):  # then nobody can tell, as for a host without a scheduler
                answer = self._slurm.ask(ids)
                self._in_slurm = {each: not job.is_over for each, job in answer.items()}


def is_written_to(log: Path) -> bool:
    """Whether a process of this host still has the log of a run as its standard output."""
    for process in Path("/proc").glob("[0-9]*/fd/1"):
        with suppress(OSError):
            if os.readlink(process) == str(log):
                return True
    return False
