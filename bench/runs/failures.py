"""Why a training or serving ended by an exception, as its record says it."""

from __future__ import annotations

import traceback

import torch

from bench.core.errors import DivergedError
from bench.core.records.run import RunError, Status

# Their messages are a name or a key, and say nothing without what kind of error it is.
_SAY_LITTLE = (LookupError, AttributeError, AssertionError, NameError, TypeError)


def failure(
    exception: BaseException, *, trace: str | None = None, out_of_memory: bool | None = None
) -> tuple[Status, RunError]:
    """Status and reason.

    Args:
        exception: What ended it.
        trace: In place of the exception's own.
        out_of_memory: Whether memory was what was lacking; None to tell from the exception.
    """
    status: Status = "failed"
    kind = "diverged" if isinstance(exception, DivergedError) else type(exception).__name__
    if is_out_of_memory(exception) if out_of_memory is None else out_of_memory:
        status = kind = "out_of_memory"
    message = " ".join(str(exception).split()) or kind
    if isinstance(exception, _SAY_LITTLE):
        message = f"{type(exception).__name__}: {message}"
    trace = "".join(traceback.format_exception(exception)) if trace is None else trace
    return status, RunError(kind=kind, message=message, traceback=trace)


def is_out_of_memory(exception: BaseException) -> bool:
    """Whether the host's memory or a device's was used up."""
    if isinstance(exception, MemoryError | torch.OutOfMemoryError):
        return True
    # The CPU allocator raises a plain RuntimeError.
    return isinstance(exception, RuntimeError) and "DefaultCPUAllocator" in str(exception)
