"""What every job does around its work: it keeps a log, and records how and why it ended."""

from __future__ import annotations

import logging
import signal
import traceback
from typing import Protocol

from bench.cli.messages import root_cause
from bench.core.errors import CombinationRefused, DivergedError, NoMetricsError, PassFailed
from bench.core.records.run import RunError, RunRecord, Status
from bench.launch.child import Interrupted
from bench.launch.link import NodeFailed
from bench.launch.stopping import stop_reason

# What the record calls these; other errors keep the name of their class.
_KINDS: dict[type[BaseException], str] = {
    DivergedError: "diverged",
    NoMetricsError: "no_metrics",
    NodeFailed: "node_failed",
}
# The kind of the exception or a word of its message, by library: PyTorch's devices, its allocator
# on the CPU, and JAX. None of them has to be imported here.
_OUT_OF_MEMORY_KIND = "OutOfMemoryError"
_OUT_OF_MEMORY_WORDS = ("DefaultCPUAllocator", "RESOURCE_EXHAUSTED")
# The message of these is only a name or a key, which says nothing without the kind of error.
_TERSE = (LookupError, AttributeError, AssertionError, NameError, TypeError)


def start_log() -> None:
    """Send log lines and warnings of libraries to standard error, which is the run's log.txt."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.captureWarnings(True)


class Run(Protocol):
    """The body of a job. Its record can be asked for at any moment."""

    def make(self) -> None:
        """Do the work; any exception ends it."""

    def close(self) -> None:
        """Release meters and files; called once, however make() ended."""

    def record(self, status: Status, error: RunError | None) -> RunRecord:
        """Make the record of what has been measured so far."""


def carry_out(run: Run) -> RunRecord:
    """Make a run and its record, however it ends."""
    status: Status = "ok"
    error: RunError | None = None
    try:
        run.make()
    except BaseException as exception:  # an interrupted run has a record too
        status, error = explain(exception)
        logging.exception("the run ended as %s", status)
    try:
        run.close()
    except BaseException as exception:  # the measurements are good all the same
        logging.exception("closing failed")
        if error is None:
            status, error = explain(exception)
    return run.record(status, error)


def explain(exception: BaseException) -> tuple[Status, RunError]:
    """Give the status and the reason of a run that an exception ended."""
    if isinstance(exception, Interrupted | KeyboardInterrupt):
        reason = str(exception) or stop_reason(signal.SIGINT)
        return "interrupted", RunError(kind="interrupted", message=reason)
    trace = "".join(traceback.format_exception(exception))
    exception = root_cause(exception)
    status: Status = "failed"
    kind = _KINDS.get(type(exception), type(exception).__name__)
    if isinstance(exception, CombinationRefused):
        status = "refused"  # a combination that does not exist has not failed
    elif _is_out_of_memory(exception):
        status = kind = "out_of_memory"
    message = " ".join(str(exception).split()) or kind
    if isinstance(exception, _TERSE):
        message = f"{type(exception).__name__}: {message}"
    return status, RunError(kind=kind, message=message, traceback=trace)


def _is_out_of_memory(exception: BaseException) -> bool:
    """Whether the memory of the host or of a device was used up, also behind a serving pass."""
    if isinstance(exception, PassFailed) and exception.__cause__ is not None:
        exception = exception.__cause__
    kinds = [kind.__name__ for kind in type(exception).__mro__]
    if isinstance(exception, MemoryError) or _OUT_OF_MEMORY_KIND in kinds:
        return True
    words = str(exception)
    return isinstance(exception, RuntimeError) and any(w in words for w in _OUT_OF_MEMORY_WORDS)
