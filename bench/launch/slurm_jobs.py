"""Follows the jobs of a sweep in SLURM: which wait, run, have ended, or are lost.

A job has ended when its note says so. SLURM is asked only for what a note cannot say: why a job
waits, and that it will never write the end of its note.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.files import last_lines
from bench.core.printable import printable
from bench.core.sweep_folder import JobNote, LostJob, SweepFolder
from bench.launch.slurm import UNKNOWN, SlurmError, SlurmJob, SlurmStates, cancel, whole_arrays
from bench.launch.stopping import signal_name

_ASK_EVERY_S = 10.0  # clusters complain about commands that ask more often
_ASK_FIRST_S = 2.0  # soon after a start, so that the first line says where the jobs run
_OUTAGE_S = 60.0  # a controller that restarts is silent for so long
# How long a note may take to arrive after its job has ended: network file systems cache folders.
_GRACE_S = 5.0
_GRACES_S = {"COMPLETED": 60.0, UNKNOWN: 60.0}
# Ended from outside, and not because something broke.
_INTERRUPTED = {"CANCELLED", "TIMEOUT", "PREEMPTED", "DEADLINE", "REVOKED"}
_REFUSED = "REFUSED"  # not a state of SLURM: it did not take the job
# What SLURM and submitit print around the last words of a job.
_NOISE = ("srun:", "slurmstepd:", "submitit ")
_MOST_BYTES, _MOST_LINES = 4000, 40
_NO_FOLDER = 53  # what SLURM gives as the signal if a node cannot open the files of a job
_BY_SIGNAL = 128  # a shell adds this to the number of the signal that ended a program


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far the jobs have come.

    Attributes:
        num_jobs: Number of all jobs.
        num_done: Number of jobs that have ended or are lost.
        num_lost: Number of those that are lost.
        nodes: The nodes of the jobs that run, one for each job.
        waiting: Number of jobs that wait in the queue, by SLURM's reason.
    """

    num_jobs: int
    num_done: int
    num_lost: int
    nodes: Sequence[str]
    waiting: Mapping[str, int]


class SlurmJobs:
    """The jobs of a sweep that were submitted to SLURM.

    Attributes:
        lost: The jobs that ended without noting their end, by their numbers.
        outage: Why SLURM has not answered for a minute; None if it answers.
    """

    def __init__(
        self,
        folder: SweepFolder,
        logs: Callable[[str], Path],
        *,
        states: SlurmStates | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Follow no job yet.

        Args:
            folder: The folder of the sweep, with the notes of the jobs.
            logs: Returns the file with the messages of a job, by its id.
            states: What to ask for the states of jobs.
            clock: Returns monotonic seconds.
        """
        self.lost: dict[int, LostJob] = {}
        self.outage: str | None = None
        self._folder = folder
        self._logs = logs
        self._slurm = states or SlurmStates()
        self._clock = clock
        self._ids: dict[int, str] = {}
        self._open: set[int] = set()
        self._jobs: dict[str, SlurmJob] = {}  # as SLURM described them last
        self._over_s: dict[int, float] = {}  # when SLURM first called a job over
        self._asked_s = clock() - _ASK_EVERY_S + _ASK_FIRST_S
        self._answered_s = clock()

    def add(self, ids: Mapping[int, str]) -> None:
        """Follow further jobs: the id of each by its number in the sweep."""
        self._ids.update(ids)
        self._open.update(ids)

    def refuse(self, nums: range, reason: str) -> None:
        """Count jobs as lost that SLURM did not take."""
        self.lost.update(
            (num, LostJob(num=num, state=_REFUSED, node=None, reason=reason, status="killed"))
            for num in nums
        )

    def are_over(self) -> bool:
        """Whether no job is left to wait for."""
        return not self._open

    def update(self) -> Mapping[int, JobNote]:
        """Read the notes that have changed, and ask SLURM if it is time to.

        Returns:
            The notes of those of the jobs that have begun, by their numbers.
        """
        found = self._folder.read_notes()  # of earlier batches of the sweep, too
        notes = {num: found[num] for num in self._ids if num in found}
        self._open -= {num for num, note in notes.items() if note.ended}
        now_s = self._clock()
        if self._open and now_s - self._asked_s >= _ASK_EVERY_S:
            self._ask(self._open)
        for num in list(self._open):
            self._check(num, notes.get(num), now_s)
        return notes

    def standing(self, notes: Mapping[int, JobNote]) -> Standing:
        """Count the jobs by how far they have come."""
        nodes, waiting = [], Counter[str]()
        for num in self._open:
            job, note = self._jobs.get(self._ids[num]), notes.get(num)
            if job is not None and job.state == "PENDING" and note is None:
                waiting[job.reason or ""] += 1
            elif node := (job.node if job is not None else None) or (note and note.process.host):
                nodes.append(node)
            else:
                waiting[""] += 1
        num_jobs = len(self._ids) + sum(num not in self._ids for num in self.lost)
        return Standing(
            num_jobs=num_jobs,
            num_done=num_jobs - len(self._open),
            num_lost=len(self.lost),
            nodes=nodes,
            waiting=waiting,
        )

    def ids(self) -> list[str]:
        """The ids of the jobs that have not ended, an array as one."""
        return whole_arrays([self._ids[num] for num in sorted(self._open)])

    def cancel(self) -> None:
        """Cancel the jobs that have not ended.

        Raises:
            SlurmError: SLURM does not answer, or does not allow it.
        """
        if self._open:
            cancel(self.ids())

    def have_left(self) -> bool:
        """Ask at once whether SLURM holds none of the jobs any more, even those that have ended."""
        self._ask(self._ids)
        held = (self._jobs.get(job_id) for job_id in self._ids.values())
        return all(job is not None and job.is_over for job in held)

    def give_up(self) -> None:
        """Wait no longer for the jobs that have not ended."""
        notes = self._folder.read_notes()
        for num in self._open:
            job = self._jobs.get(self._ids[num], SlurmJob(state="CANCELLED"))
            self.lost[num] = self._explain(num, job, notes.get(num))
        self._open.clear()

    def _ask(self, nums: Iterable[int]) -> None:
        try:
            self._jobs.update(self._slurm.ask([self._ids[num] for num in nums]))
            self.outage, self._answered_s = None, self._clock()
        except SlurmError as error:
            if self._clock() - self._answered_s >= _OUTAGE_S:
                self.outage = str(error)
        self._asked_s = self._clock()  # after the call, which may have taken long

    def _check(self, num: int, note: JobNote | None, now_s: float) -> None:
        """Give up a job that is over in SLURM if the end of its note does not arrive."""
        job = self._jobs.get(self._ids[num])
        if job is None or not job.is_over:
            self._over_s.pop(num, None)
            return
        since_s = self._over_s.setdefault(num, now_s)
        if now_s - since_s < _GRACES_S.get(job.state, _GRACE_S):
            return
        if job.is_held:
            try:
                cancel([self._ids[num]])
            except SlurmError:  # cancel it the next time: it must not start after it was given up
                return
        self._open.remove(num)
        self.lost[num] = self._explain(num, job, note)

    def _explain(self, num: int, job: SlurmJob, note: JobNote | None) -> LostJob:
        job_id = self._ids[num]
        node = job.node or (note.process.host if note else None)
        place = f" on {node}" if node else ""
        if job.state == UNKNOWN:
            text = f"SLURM does not know its job {job_id} any more{place and f', which ran{place}'}"
        elif not job.is_over:
            text = f"SLURM job {job_id} was still {job.state}{place} when nobody waited any longer"
        elif job.is_held:
            text = f"SLURM could not start its job {job_id} ({job.reason})"
        else:
            text = f"SLURM ended its job {job_id} as {job.state}{place}{self._cause(job_id, job)}"
        return LostJob(
            num=num,
            state=job.state,
            node=node,
            reason=text,
            status="interrupted" if job.state in _INTERRUPTED or not job.is_over else "killed",
        )

    def _cause(self, job_id: str, job: SlurmJob) -> str:
        """The signal, or the exit code and the last words, with which a job ended by itself."""
        if job.state in _INTERRUPTED or job.exit_code is None:
            return ""
        if job.signal == _NO_FOLDER:
            folder = self._logs(job_id).parent.parent
            return (
                f": it cannot write to {folder}; start the command where all nodes share a folder"
            )
        number = job.signal or max(0, job.exit_code - _BY_SIGNAL)
        if number:
            return f" ({signal_name(number)})"
        words = _last_words(self._logs(job_id))
        code = f" (exit code {job.exit_code})" if job.exit_code else ""
        return f"{code}: {words}" if words else code


def _last_words(log: Path) -> str:
    """The last line that a job itself printed to its log; empty if there is none."""
    try:
        lines = last_lines(log, _MOST_LINES, most_bytes=_MOST_BYTES)
    except OSError:  # a job that never began has no log
        return ""
    own = [line for line in lines if not line.startswith(_NOISE)]
    return printable((own or lines or [""])[-1].strip())
