"""A model in this process as a System that the load generator queries."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from bench.core.arrays import Inputs
from bench.serving.backend import Backend, require_outputs
from bench.serving.system import LASTING_THREADS, Done, Sample, System


class InProcessSystem(System):
    """Predicts with a backend, either in the issuing call or in a thread of its own.

    In a closed loop, the generator waits for the answers anyway, and a second thread would only add
    latency. With Poisson arrivals, the generator must not wait: a separate thread takes what has
    queued, up to max_batch_size samples at once, as a server does.
    """

    def __init__(
        self, backend: Backend, inputs: Inputs, *, max_batch_size: int, queued: bool
    ) -> None:
        """Start nothing before the first pass.

        Args:
            backend: Open.
            inputs: Those of the test split, shape (n, ...).
            max_batch_size: Most samples to predict at once.
            queued: Whether a separate thread predicts.
        """
        self._backend = backend
        self._inputs = inputs
        self._max_batch_size = max_batch_size
        self._queued = queued
        self._queue: SimpleQueue[Sample | None] = SimpleQueue()
        self._worker: Future[None] | None = None
        self._collect = False
        self._indices: list[int] = []
        self._outputs: list[NDArray[np.float32]] = []

    @override
    def begin(self, done: Done, *, collect: bool) -> None:
        """Begin a pass; see System."""
        self.failure = None
        self._done = done
        self._collect = collect
        self._indices, self._outputs = [], []
        if self._queued:
            # A thread of the pool: one that ends after calling LoadGen can crash the process.
            self._worker = LASTING_THREADS.submit(self._work)

    @override
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

    @override
    def end(self) -> None:
        """End the pass and give the thread back, if there is one."""
        if self._worker is not None:
            self._queue.put(None)
            self._worker.result()
            self._worker = None

    @override
    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Indices (n,) and outputs (n, ...) of a pass that collected, in answering order.

        Raises:
            ValueError: The pass did not collect, or answered nothing.
        """
        if not self._outputs:
            raise ValueError("no answers were kept: the pass must begin with collect=True")
        return np.array(self._indices, dtype=np.int64), np.concatenate(self._outputs)

    def _work(self) -> None:
        """Answer queued samples in batches of whatever waits, until None comes."""
        queue = self._queue
        while (first := queue.get()) is not None:
            batch = [first]
            # Only this thread takes from the queue: if it is not empty, get() returns at once.
            while len(batch) < self._max_batch_size and not queue.empty():
                sample = queue.get()
                if sample is None:
                    self._answer(batch)
                    return
                batch.append(sample)
            self._answer(batch)

    def _answer(self, samples: Sequence[Sample], *, fill: bool = False) -> None:
        """Predict one batch and report it as done; after a failure, only report."""
        try:
            if self.failure is None:
                self._predict(samples, fill=fill)
        except BaseException as error:  # no exception may reach the load generator
            self.fail(error)
        self._done([sample.id for sample in samples])

    def _predict(self, samples: Sequence[Sample], *, fill: bool) -> None:
        """Predict one batch, filled up to a full one if `fill` is set.

        The last batch of a large query is filled, because a runtime that compiles for each size
        would otherwise compile in the middle of a measurement. The model gets a copy of the inputs,
        as a server's would: it may write into its input, but the test split must not change.
        """
        if len(samples) == 1 and not fill:
            index = samples[0].index
            inputs = self._inputs[index : index + 1].copy()  # faster than a list of one index
        else:
            indices = [sample.index for sample in samples]
            if fill:
                indices += indices[:1] * (self._max_batch_size - len(indices))
            inputs = self._inputs[indices]  # indexing by a list copies
        outputs = self._backend.predict(inputs)
        if len(outputs) < len(samples):
            require_outputs(outputs, len(inputs))
        if self._collect:
            self._indices += [sample.index for sample in samples]
            # Copy them: the runtime may reuse its memory for the next batch.
            self._outputs.append(np.array(outputs[: len(samples)], dtype=np.float32))
