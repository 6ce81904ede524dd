"""Asks SLURM about jobs and cancels them, by its own commands.

Clusters differ in what answers. `squeue` knows every job until some minutes after its end;
`sacct` knows all jobs, but only where the cluster keeps accounts. Each call has a time limit, so
that a scheduler that is down cannot make a command wait for ever.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

# submitit looks for srun before it calls sbatch.
_COMMANDS = ("sbatch", "srun", "squeue", "scancel")
_PATIENCE_S = 30.0  # for one call; SLURM's own commands give up after some 10 to 20 s
_HINT = 'Try "'  # `Try "sbatch --help" for more information`, after the error itself
_USUAL_ARRAY_SIZE = 1001  # SLURM's default for MaxArraySize

# Variables that SLURM sets for a job, and those with which users choose and reach a cluster.
_OF_A_JOB = ("SLURM_", "SLURMD_", "SRUN_")
_OF_THE_CLUSTER = ("SLURM_CLUSTERS", "SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")

UNKNOWN = "UNKNOWN"
# States after which a job does not come back; all others may change.
_OVER = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT", UNKNOWN),
}
# A queued job with one of these reasons starts only if an administrator releases it.
_HELD = {"launch_failed_requeued_held", "JobHoldMaxRequeue"}
# Fields of squeue and their widths. Cells are cut out by width, since a node list may be empty.
_FIELDS = {"JobArrayID": 48, "State": 20, "exit_code": 12, "NodeList": 128, "Reason": 96}


class SlurmError(ValueError):
    """SLURM refused a call or did not answer; one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmJob:
    """A job as SLURM describes it.

    Attributes:
        state: Its state, such as RUNNING; UNKNOWN if SLURM does not know the job.
        node: The node that it got; None before it got one.
        reason: Why it waits or has ended, in SLURM's words; None if SLURM gives none.
        exit_code: The exit code of its script; None if it is not known.
        signal: The signal that ended its script; None if none did.
    """

    state: str
    node: str | None = None
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether SLURM could not start it, and keeps it in the queue without trying again."""
        return self.state == "PENDING" and (self.reason or "").replace(" ", "_") in _HELD

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or will not start."""
        return self.state in _OVER or self.is_held


def require_commands() -> None:
    """Refuse a machine without SLURM's commands.

    Raises:
        ValueError: One is missing; the message has the remedy.
    """
    for name in _COMMANDS:
        if shutil.which(name) is None:
            raise ValueError(
                f"hydra/launcher=slurm: there is no {name} on PATH; start the command on a login "
                "node of the cluster, or leave hydra/launcher= out"
            )


@contextmanager
def without_own_job() -> Iterator[None]:
    """Hide the variables of a job in which this command itself runs, from jobs that it submits.

    They would get the environment of the command, and their `srun` would take its memory limit, for
    example, as the one of the job.
    """
    hidden = {}
    if "SLURM_JOB_ID" in os.environ:
        hidden = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(_OF_A_JOB) and name not in _OF_THE_CLUSTER
        }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def cancel(job_ids: Collection[str]) -> None:
    """Cancel jobs; those that have ended already are left alone.

    Raises:
        SlurmError: SLURM does not answer or does not allow it.
    """
    try:
        _call("scancel", "--quiet", *whole_arrays(job_ids))
    except SlurmError as error:
        if "Invalid job id" not in str(error):  # it has ended so long ago that nobody knows it
            raise


def max_array_size() -> int:
    """The largest number of jobs that may be submitted as one array."""
    try:
        config = _call("scontrol", "show", "config")
    except SlurmError:  # submitting will say what is wrong
        return _USUAL_ARRAY_SIZE
    sizes = re.findall(r"^MaxArraySize\s*=\s*(\d+)|\bmax_array_tasks=(\d+)", config, re.MULTILINE)
    # An array is numbered from 0, and MaxArraySize must be greater than its last number.
    return max(1, min((int(one or other) for one, other in sizes), default=_USUAL_ARRAY_SIZE))


class SlurmStates:
    """Asks for the states of jobs: squeue, then sacct for jobs that squeue has forgotten."""

    def __init__(self) -> None:
        self._has_accounts = shutil.which("sacct") is not None

    def ask(self, job_ids: Collection[str]) -> dict[str, SlurmJob]:
        """Ask for the states of jobs, with one call for all of them.

        Args:
            job_ids: Jobs such as `12`, and elements of arrays such as `12_3`.

        Returns:
            Each job by its id; in state UNKNOWN if nothing knows it.

        Raises:
            SlurmError: The controller does not answer.
        """
        known = _in_queue(job_ids)
        missing = [each for each in job_ids if each not in known]
        # The controller decides whether a job still exists: accounts may call a job running whose
        # end was lost.
        past = {each: job for each, job in self._in_accounts(missing).items() if job.is_over}
        return {each: known.get(each) or past.get(each) or _NOBODY for each in job_ids}

    def _in_accounts(self, job_ids: Collection[str]) -> dict[str, SlurmJob]:
        if not job_ids or not self._has_accounts:
            return {}
        ids = ",".join(whole_arrays(job_ids))
        fields = "JobID,State,ExitCode,NodeList"
        try:
            answer = _call("sacct", "-X", "--noheader", "--parsable2", "-j", ids, "-o", fields)
        except SlurmError as error:
            self._has_accounts = "disabled" not in str(error)  # else ask again the next time
            return {}
        return dict(_accounted(line.split("|")) for line in answer.splitlines())


_NOBODY = SlurmJob(state=UNKNOWN)


def _in_queue(job_ids: Collection[str]) -> dict[str, SlurmJob]:
    """What squeue knows about jobs, by their ids."""
    fields = ",".join(f"{name}:{width}" for name, width in _FIELDS.items())
    ids = ",".join(whole_arrays(job_ids))
    try:
        answer = _call("squeue", "--noheader", "--array", "--states=all", "-j", ids, "-O", fields)
    except SlurmError as error:
        if "Invalid job id" in str(error):  # it knows none of them
            return {}
        raise
    return dict(_queued(dict(_cells(line))) for line in answer.splitlines())


def _cells(line: str) -> Iterator[tuple[str, str]]:
    start = 0
    for name, width in _FIELDS.items():
        yield name, line[start : start + width].strip()
        start += width


def _queued(cells: dict[str, str]) -> tuple[str, SlurmJob]:
    """A line of squeue, whose exit code is the one of wait()."""
    code = int(cells["exit_code"]) if cells["exit_code"].isdecimal() else None
    return cells["JobArrayID"], SlurmJob(
        state=cells["State"],
        node=cells["NodeList"] or None,
        reason=cells["Reason"] if cells["Reason"] not in ("", "None") else None,
        exit_code=None if code is None else code >> 8,
        signal=None if code is None else code & 0x7F or None,
    )


def _accounted(cells: Sequence[str]) -> tuple[str, SlurmJob]:
    """A line of sacct: `12_3|CANCELLED by 1000|0:15|node1`, with exit code and signal."""
    job_id, state, code, node = cells
    exit_code, _, number = code.partition(":")
    return job_id, SlurmJob(
        state=state.partition(" ")[0],
        node=node if node != "None assigned" else None,
        exit_code=int(exit_code) if exit_code.isdecimal() else None,
        signal=int(number) or None if number.isdecimal() else None,
    )


def whole_arrays(job_ids: Collection[str]) -> list[str]:
    """Name each array once: a list of thousands of elements may be too long for a command."""
    return list(dict.fromkeys(each.partition("_")[0] for each in job_ids))


def _call(*command: str) -> str:
    """Call a command of SLURM and return what it prints.

    Raises:
        SlurmError: It fails, or does not answer in time.
    """
    # Variables such as SQUEUE_USERS would hide jobs.
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SQUEUE_", "SACCT_", "SCANCEL_"))
    }
    try:
        # In a session of its own, so that a Ctrl-C in the terminal does not end it, too.
        answer = subprocess.run(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"{command[0]}: no answer within {_PATIENCE_S:.0f} s") from error
    except OSError as error:
        raise SlurmError(f"{command[0]}: {error.strerror}") from error
    if answer.returncode:
        raise SlurmError(f"{command[0]}: {last_line(answer.stderr) or _code(answer.returncode)}")
    return answer.stdout


def last_line(text: str) -> str:
    """The last line of what a command printed that says something; empty if there is none."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_HINT)]
    return (telling or lines or [""])[-1]


def _code(number: int) -> str:
    return f"exit code {number}" if number > 0 else f"ended by {signal.Signals(-number).name}"
