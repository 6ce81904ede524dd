"""What every job does around its work: a log, and the reason why it ended as it did."""

from __future__ import annotations

import logging
import traceback
from typing import Protocol

from bench.cli.causes import innermost
from bench.core.errors import CombinationRefused, PassFailed
from bench.core.records.run import RunError, RunRecord, Status
from bench.launch.child import Interrupted
from bench.runs.failures import failure, is_out_of_memory


def start_log() -> None:
    """Send what libraries log and warn of to standard error, which is the run's log.txt."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.captureWarnings(True)


class Run(Protocol):
    """The body of a job: what it has come to so far is there at any moment."""

    def make(self) -> None:
        """Do the work; whatever it raises ends it."""

    def close(self) -> None:
        """Release what it holds; called once, however it ended."""

    def record(self, status: Status, error: RunError | None) -> RunRecord:
        """The record of what has been measured so far."""


def carried_out(run: Run) -> RunRecord:
    """Make a run, and its record, however it ends."""
    status: Status = "ok"
    error: RunError | None = None
    try:
        run.make()
    except BaseException as exception:  # an interrupted run has a record too
        status, error = explain(exception)
        logging.exception("the run ended as %s", status)
    try:
        run.close()
    except BaseException as exception:  # what was measured is recorded all the same
        logging.exception("closing failed")
        if error is None:
            status, error = explain(exception)
    return run.record(status, error)


def explain(exception: BaseException) -> tuple[Status, RunError]:
    """Status and reason of a run that ended by an exception."""
    if isinstance(exception, Interrupted):
        return "interrupted", RunError(kind="interrupted", message=str(exception))
    trace = "".join(traceback.format_exception(exception))
    exception = innermost(exception)
    failed_with: BaseException = exception
    if isinstance(exception, PassFailed) and exception.__cause__ is not None:
        failed_with = exception.__cause__  # what the system failed with
    status, error = failure(exception, trace=trace, out_of_memory=is_out_of_memory(failed_with))
    # What does not exist has not failed.
    return ("refused" if isinstance(exception, CombinationRefused) else status), error
