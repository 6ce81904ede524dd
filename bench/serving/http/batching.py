"""Dynamic batching: the model answers several requests at once, although they come one by one.

A batch starts when it is full, or when its first request has waited for the batch window. While the
model works on one batch, the next one fills up. With a window of zero, a batch has whatever waits
when the model becomes free, and a request that finds the model free does not wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import Inputs

Predict = Callable[[Inputs], NDArray[np.float32]]

_log = logging.getLogger(__name__)


class ModelError(RuntimeError):
    """The model could not answer a batch; one line with the reason."""


class Timer(Protocol):
    """A call that is scheduled, as call_later returns it."""

    def cancel(self) -> None:
        """Cancel the call."""


CallLater = Callable[[float, Callable[[], None]], Timer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The outputs of one input, of any shape, with the times that they took.

    queue_s is from the submission until the model begins with the batch. inference_s is that of the
    whole batch, because each input waits for all of it. batch_size is the size of the batch.
    """

    outputs: NDArray[np.float32]
    queue_s: float
    inference_s: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class _Input:
    values: Inputs
    submitted_s: float
    future: asyncio.Future[Answer]


class Batcher:
    """Gathers inputs into batches for a model that runs in a separate thread.

    All methods must be called from one event loop.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        max_batch_size: int = 1,
        window_s: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
        call_later: CallLater | None = None,
    ) -> None:
        """Run nothing before the first submit().

        Args:
            predict: Inputs (n, ...) to float32 outputs (n, ...); called from one thread, one batch
                at a time.
            max_batch_size: Inputs of a full batch.
            window_s: How long the first input of a batch waits for others.
            clock: Monotonic seconds.
            call_later: Calls a function after some seconds; None for that of the event loop.
        """
        self._predict = predict
        self._max_batch_size = max_batch_size
        self._window_s = window_s
        self._clock = clock
        self._call_later = call_later
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._waiting: deque[_Input] = deque()
        self._timer: Timer | None = None
        self._busy = False

    def submit(self, values: Inputs) -> asyncio.Future[Answer]:
        """Take one input.

        Args:
            values: Its values, without the dimension of a batch.

        Returns:
            Its answer, or ModelError if the model failed.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Input(values, self._clock(), future))
        self._schedule()
        return future

    def close(self) -> None:
        """Wait for the batch that the model works on; other inputs get no answer."""
        self._cancel_timer()
        self._thread.shutdown(cancel_futures=True)

    def _schedule(self) -> None:
        """Start a batch, or a timer for one, if the model is free and an input waits."""
        if self._busy or not self._waiting:
            return
        remaining_s = self._waiting[0].submitted_s + self._window_s - self._clock()
        if len(self._waiting) >= self._max_batch_size or remaining_s <= 0:
            self._start()
        elif self._timer is None:
            call_later = self._call_later or asyncio.get_running_loop().call_later
            self._timer = call_later(remaining_s, self._on_timer)

    def _on_timer(self) -> None:
        # An event loop may call a little early, so look at the clock again before starting.
        self._timer = None
        self._schedule()

    def _start(self) -> None:
        self._cancel_timer()
        size = min(len(self._waiting), self._max_batch_size)
        batch = [self._waiting.popleft() for _ in range(size)]
        self._busy = True
        run = asyncio.get_running_loop().run_in_executor(self._thread, self._run, batch)
        run.add_done_callback(lambda future: self._finish(batch, future))

    def _run(self, batch: list[_Input]) -> list[Answer]:
        """Predict a batch, in the model's thread; stacking it is part of the inference."""
        start_s = self._clock()
        outputs = self._predict(np.stack([each.values for each in batch]))
        inference_s = self._clock() - start_s
        if not outputs.ndim or len(outputs) != len(batch):
            raise ValueError(f"outputs of shape {outputs.shape} for {len(batch)} inputs")
        return [
            Answer(
                outputs=row,
                queue_s=start_s - each.submitted_s,
                inference_s=inference_s,
                batch_size=len(batch),
            )
            for each, row in zip(batch, outputs, strict=True)
        ]

    def _finish(self, batch: list[_Input], run: asyncio.Future[list[Answer]]) -> None:
        self._busy = False
        if run.cancelled():
            return  # the batcher has been closed
        self._schedule()  # start the next batch first, so that the model does not wait
        error = run.exception()
        if error is not None:
            _log.error("the model failed", exc_info=error)
        futures = [each.future for each in batch]
        for row, future in enumerate(futures):
            if future.done():
                continue  # its client has gone away
            if error is not None:
                future.set_exception(ModelError(f"the model failed: {error!r}"))
            else:
                future.set_result(run.result()[row])

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
