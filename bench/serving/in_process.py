"""A model in this process as the load generator asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from bench.serving.backend import Backend, Images, require_logits
from bench.serving.system import LASTING_THREADS, Done, Sample


class InProcessSystem:
    """Predicts with a backend, in the issuing call or in a thread that takes what is queued.

    In a closed loop the generator waits for the answers anyway, and a second thread would only add
    to them. With Poisson arrivals it must not be held up: a thread of its own takes what waits, up
    to max_batch_size at once, as a server does.
    """

    def __init__(
        self, backend: Backend, images: Images, *, max_batch_size: int, queued: bool
    ) -> None:
        """Nothing runs before a pass begins.

        Args:
            backend: Open.
            images: The test split, float32 of shape (n, c, h, w).
            max_batch_size: Of what is predicted at once.
            queued: Whether a thread of its own predicts.
        """
        self.failure: BaseException | None = None
        self.num_failed = 0
        self._backend = backend
        self._images = images
        self._max_batch_size = max_batch_size
        self._queued = queued
        self._queue: SimpleQueue[Sample | None] = SimpleQueue()
        self._worker: Future[None] | None = None
        self._collect = False
        self._indices: list[list[int]] = []
        self._logits: list[NDArray[np.float32]] = []

    def begin(self, done: Done, *, collect: bool) -> None:
        """A pass begins; see System."""
        self.failure = None
        self._done = done
        self._collect = collect
        self._indices, self._logits = [], []
        if self._queued:
            self._worker = LASTING_THREADS.submit(self._work)

    def issue(self, samples: Sequence[Sample]) -> None:
        """Answer a query, or queue its samples; see System."""
        if self._queued:
            for sample in samples:
                self._queue.put(sample)
        elif len(samples) <= self._max_batch_size:
            self._answer(samples)
        else:
            for start in range(0, len(samples), self._max_batch_size):
                self._answer(samples[start : start + self._max_batch_size], fill=True)

    def flush(self) -> None:
        """Nothing waits for a fuller batch."""

    def end(self) -> None:
        """The pass is over; the thread, if any, is given back."""
        if self._worker is not None:
            self._queue.put(None)
            self._worker.result()
            self._worker = None

    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Indices (n,) and logits (n, num_classes) of a pass that collected, as answered.

        Raises:
            ValueError: The pass did not collect, or answered nothing.
        """
        if not self._logits:
            raise ValueError("no answers were kept: the pass must begin with collect=True")
        indices = [index for batch in self._indices for index in batch]
        return np.array(indices, dtype=np.int64), np.concatenate(self._logits)

    def columns(self) -> Mapping[str, Sequence[float]]:
        """Nothing beside what LoadGen notes."""
        return {}

    def failed_because(self) -> Sequence[str]:
        """Nothing: a model that fails ends the pass."""
        return ()

    def _work(self) -> None:
        """Answer what is queued, in batches of whatever waits, until there is a None."""
        queue = self._queue
        while (first := queue.get()) is not None:
            batch = [first]
            # This thread alone takes from the queue: what it is not empty of can be had at once.
            while len(batch) < self._max_batch_size and not queue.empty():
                sample = queue.get()
                if sample is None:
                    self._answer(batch)
                    return
                batch.append(sample)
            self._answer(batch)

    def _answer(self, samples: Sequence[Sample], *, fill: bool = False) -> None:
        """Predict one batch and report it; after a failure, report only."""
        try:
            if self.failure is None:
                self._predict(samples, fill=fill)
        except BaseException as error:  # whatever it is, it may not reach the load generator
            self.failure = error
        self._done([sample.id for sample in samples])

    def _predict(self, samples: Sequence[Sample], *, fill: bool) -> None:
        """Predict one batch; filled up, it is a full one.

        The last batch of a large query is filled: a runtime that compiles for each size would do so
        in the middle of a measurement. The model gets a copy of the images, as a server's would: it
        may write into its input, and the test split must not change.
        """
        if len(samples) == 1 and not fill:
            index = samples[0].index
            images = self._images[index : index + 1].copy()  # sooner than with a list of one
        else:
            indices = [sample.index for sample in samples]
            if fill:
                indices += indices[:1] * (self._max_batch_size - len(indices))
            images = self._images[indices]  # a list copies
        logits = self._backend.predict(images)
        if len(logits) < len(samples):
            require_logits(logits, len(images))
        if self._collect:
            self._indices.append([sample.index for sample in samples])
            # A copy: the runtime may use its memory again.
            self._logits.append(np.array(logits[: len(samples)], dtype=np.float32))
