"""What answers queries: the base of everything that the load generator can measure.

A pass is one run of the load generator: warm-up, accuracy or performance. During a pass, the
generator issues queries of one or more samples. Each sample has an id of its own and the index of
an input of the test split. The pass ends when `done` has been called for every sample.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# LoadGen keeps a log for each thread that calls it. When such a thread ends, LoadGen's own thread
# frees the log, perhaps while the ending thread still writes to it: the process then dies with a
# segmentation fault (version 6.0; `TlsLogger` in loadgen/logging.cc: Log reads its own fields after
# what it logged had it freed). Joining does not help: before Python 3.13, a thread counts as joined
# before C++ has ended it. So whatever calls LoadGen runs in threads that live as long as the
# process. Idle ones are reused; a pass takes two: LoadGen's and the system's.
LASTING_THREADS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="serving")


# Takes the ids of samples that have been answered; from any thread.
Done = Callable[[Sequence[int]], None]
_T = TypeVar("_T")


class Sample(Protocol):
    """One input to answer, as the load generator names it."""

    @property
    def id(self) -> int:
        """Names this one issue of the sample; goes to Done."""

    @property
    def index(self) -> int:
        """The input in the test split."""


class System(ABC):
    """Something that answers queries: a model in this process, or a client of a server.

    No method may raise into the load generator, because that would end the process. A system keeps
    the exception in `failure` and reports the samples as done, so that the pass ends.

    Attributes:
        failure: What ended the pass; None while all is well.
        num_failed: Samples of the pass that were reported as done without an answer.
    """

    failure: BaseException | None = None
    num_failed: int = 0

    @abstractmethod
    def begin(self, done: Done, *, collect: bool) -> None:
        """Begin a pass and forget the one before.

        Args:
            done: To be called once for each sample, when its outputs are there.
            collect: Whether to keep the outputs for answers().
        """

    @abstractmethod
    def issue(self, samples: Sequence[Sample]) -> None:
        """Take one query: answer it now, or later from another thread."""

    def fail(self, error: BaseException | None) -> None:
        """Keep why the pass fails; None, or anything after the first failure, changes nothing."""
        self.failure = self.failure or error

    def flush(self) -> None:  # noqa: B027 -- most systems never wait for a fuller batch
        """Answer whatever waits for a fuller batch, because no further query will come."""

    def end(self) -> None:  # noqa: B027 -- a system without threads has nothing to stop
        """End the pass: everything issued has been answered."""

    @abstractmethod
    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Indices, shape (n,), and outputs, shape (n, ...), of a pass that collected."""

    def columns(self) -> pd.DataFrame:
        """What else the system noted: a row for each sample of the pass, in the order of issue."""
        return pd.DataFrame()

    def failure_reasons(self) -> Sequence[str]:
        """Why requests of the pass failed: one line with its count for each kind of reason."""
        return ()


class LoopThread:
    """An event loop in one of the lasting threads, from start() to stop()."""

    def __init__(self) -> None:
        """Make the loop: uvloop's where it is installed, because it is faster."""
        self._loop = _new_event_loop()

    def start(self) -> None:
        """Run it."""
        self._running = LASTING_THREADS.submit(self._loop.run_forever)

    def stop(self) -> None:
        """Stop it and give the thread back."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._running.result()
        self._loop.close()

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the loop from another thread, and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def soon(self, function: Callable[..., None], *arguments: object) -> None:
        """Call a function in the loop from any thread; do nothing if the loop does not run."""
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(function, *arguments)


def _new_event_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
