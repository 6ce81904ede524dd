"""What answers queries: the protocol between the load generator and all that is under test.

A pass is one run of the load generator: warm-up, accuracy or performance. In it the generator
issues queries of one or more samples, each sample with an id of its own and the index of an image
of the test split, and waits until done has been called for each of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# LoadGen keeps a log per thread that calls it, and its own thread frees that log when the caller's
# ends. If a pass runs meanwhile it may do so while the ending thread still writes, and the process
# ends with a segmentation fault (version 6.0; `TlsLogger` in loadgen/logging.cc: Log reads its own
# fields after what it logged had it freed). Joining is no help: before Python 3.13 a thread counts
# as joined before C++ has ended it. So what calls LoadGen runs in threads that last as long as the
# process.
# Idle threads are used again; a pass takes two of them: LoadGen's and the system's.
LASTING_THREADS = ThreadPoolExecutor(max_workers=64, thread_name_prefix="serving")


# Takes the ids of samples that have been answered; from any thread.
Done = Callable[[Sequence[int]], None]


class Sample(Protocol):
    """One input to be answered, as the load generator names it."""

    @property
    def id(self) -> int:
        """Of this one issue of the sample, to be given to Done."""

    @property
    def index(self) -> int:
        """Of the image in the test split."""


class System(Protocol):
    """A model that can be asked: in this process, or behind a server.

    No call may raise into the load generator, which would end the process: what goes wrong is kept
    in `failure`, and the samples concerned are reported as done, so that the pass comes to its end.
    """

    failure: BaseException | None

    @property
    def num_failed(self) -> int:
        """Samples of the pass that were reported as done without an answer."""

    def begin(self, done: Done, *, collect: bool) -> None:
        """A pass begins; forget the one before.

        Args:
            done: To be called once for each sample, when its logits are there.
            collect: Whether to keep the logits for answers().
        """

    def issue(self, samples: Sequence[Sample]) -> None:
        """Take one query; it may be answered before this returns, or later by another thread."""

    def flush(self) -> None:
        """No further query will come: answer what waits for a fuller batch."""

    def end(self) -> None:
        """The pass is over: everything issued has been answered."""

    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Indices, shape (n,), and logits, shape (n, num_classes), of a pass that collected."""

    def columns(self) -> Mapping[str, Sequence[float]]:
        """What else was noted of each sample of the pass, in the order of issue; may be empty."""

    def failed_because(self) -> Sequence[str]:
        """Why requests of the pass failed, one line for each kind of reason with its count."""
