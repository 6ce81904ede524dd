"""The input and the messages of a job, and the record of a run whose job wrote none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.files import StoreError, last_lines
from bench.core.outcome import outcome_record
from bench.core.records.curve import CurveRow
from bench.core.records.run import RunError, RunIdentity, RunRecord, Status
from bench.core.store import began, read_curve
from bench.core.sweep_folder import LostJob
from bench.core.upgrade import not_started
from bench.launch.child import Inherited
from bench.launch.isolation import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """The nodes of one training, as the job of one of them finds them.

    Attributes:
        node: Rank of this node.
        num_nodes: Number of nodes.
        address: Name or address of node 0.
        connection: On node 0 the port at which the other nodes call; on these the connection with
            node 0.
        port: The port of node 0 at which the ranks meet; None on node 0, which chooses it.
    """

    node: int
    num_nodes: int
    address: str
    connection: Inherited
    port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run to make, which the command passes to the fresh process; `title` is for people.

    `team` is None for a run on one node.
    """

    identity: RunIdentity
    folder: Path
    title: str
    config: dict[str, Any]
    host: dict[str, Any]
    team: Team | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A message from a job for people: the stage that it has reached."""

    stage: str


_MOST_BYTES = 2000  # at the end of a log, to find its last line
_MEMORY = "; the kernel does this when memory runs out"


def lost_record(job: Job, cause: Ending | LostJob | BaseException) -> RunRecord:
    """Make the record of a run whose job left none.

    Args:
        job: The run.
        cause: How its process ended, what a batch system says of it, or the exception that
            prevented or ended the run.
    """
    status, error = _explain(cause, job.folder / "log.txt")
    if isinstance(cause, KeyboardInterrupt) and not began(job.folder):
        error = not_started()
    return outcome_record(
        job.identity, job.config, _rows(job), status=status, error=error, host=job.host
    )


def unreadable_record(job: Job, error: Exception) -> RunRecord:
    """Make a record in place of one that cannot be written or read."""
    reason = RunError(kind="unreadable", message=str(error))
    return outcome_record(job.identity, job.config, [], status="failed", error=reason)


def _rows(job: Job) -> list[CurveRow]:
    try:
        return read_curve(job.folder)
    except StoreError:  # damaged; the error of the run is more important
        return []


def _explain(cause: Ending | LostJob | BaseException, log: Path) -> tuple[Status, RunError]:
    if isinstance(cause, LostJob):
        kind = "interrupted" if cause.status == "interrupted" else "no_record"
        return cause.status, RunError(kind=kind, message=cause.reason)
    if isinstance(cause, KeyboardInterrupt):
        return "interrupted", RunError(kind="interrupted", message=str(cause) or "stopped")
    if isinstance(cause, BaseException):
        kind = type(cause).__name__
        return "failed", RunError(kind=kind, message=str(cause) or kind)
    if cause.signal_name is not None:
        memory = _MEMORY * (cause.signal_name == "SIGKILL")
        message = f"ended by {cause.signal_name}{memory}"
        return "killed", RunError(kind=cause.signal_name, message=message)
    if cause.exit_code is None:
        message = f"its process ended without a record, after the fork server was killed{_MEMORY}"
        return "killed", RunError(kind="no_record", message=message)
    last_words = last_lines(log, 1, most_bytes=_MOST_BYTES) if log.exists() else []
    message = ": ".join([f"ended with exit code {cause.exit_code} and no record", *last_words])
    return "failed", RunError(kind="no_record", message=message)
