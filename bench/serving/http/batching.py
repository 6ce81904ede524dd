"""Dynamic batching: requests that come one by one are answered by the model several at a time.

A batch is closed when it is full, or when its first request has waited for the window. While the
model works on one batch the next one fills up. With a window of zero a batch holds what is there
when the model becomes free, and a request that finds it free is not kept waiting.
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

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_log = logging.getLogger(__name__)


class ModelError(RuntimeError):
    """The model could not answer a batch; one line with the reason."""


class Timer(Protocol):
    """What call_later gives back."""

    def cancel(self) -> None:
        """Do not call."""


CallLater = Callable[[float, Callable[[], None]], Timer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The logits of one input, shape (num_classes,), and how long it took to get them.

    queue_s is from the submission until the model begins with the batch; inference_s is that of
    the whole batch, for each input had to wait for all of it. batch_size is how many there were.
    """

    logits: NDArray[np.float32]
    queue_s: float
    inference_s: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    image: NDArray[np.float32]
    since_s: float
    future: asyncio.Future[Answer]


@dataclass(frozen=True, slots=True)
class _Ran:
    start_s: float
    end_s: float
    logits: NDArray[np.float32]


class Batcher:
    """Gathers inputs into batches for a model that runs in a thread of its own.

    All calls come from one event loop; only the model runs elsewhere.
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
        """Nothing runs before the first submit().

        Args:
            predict: float32 (n, c, h, w) to float32 (n, num_classes); called from one thread, one
                batch at a time.
            max_batch_size: Inputs of a full batch.
            window_s: How long the first input of a batch waits for others.
            clock: Monotonic seconds.
            call_later: Calls a function after so many seconds; None for that of the event loop.
        """
        self._predict = predict
        self._max_batch_size = max_batch_size
        self._window_s = window_s
        self._clock = clock
        self._call_later = call_later
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._waiting: deque[_Waiting] = deque()
        self._timer: Timer | None = None
        self._busy = False

    def submit(self, image: NDArray[np.float32]) -> asyncio.Future[Answer]:
        """Take one input.

        Args:
            image: Shape (c, h, w).

        Returns:
            Its answer, later; ModelError where the model failed.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(image, self._clock(), future))
        self._consider()
        return future

    def close(self) -> None:
        """Wait for the batch that the model works on; what else waits is not answered."""
        self._cancel_timer()
        self._thread.shutdown(cancel_futures=True)

    def _consider(self) -> None:
        """Start a batch, or a timer for one, if the model is free and there is something to do."""
        if self._busy or not self._waiting:
            return
        remaining_s = self._waiting[0].since_s + self._window_s - self._clock()
        if len(self._waiting) >= self._max_batch_size or remaining_s <= 0:
            self._start()
        elif self._timer is None:
            call_later = self._call_later or asyncio.get_running_loop().call_later
            self._timer = call_later(remaining_s, self._expired)

    def _expired(self) -> None:
        # An event loop may call a little early: considering again, and not starting, keeps the
        # window whole.
        self._timer = None
        self._consider()

    def _start(self) -> None:
        self._cancel_timer()
        size = min(len(self._waiting), self._max_batch_size)
        batch = [self._waiting.popleft() for _ in range(size)]
        self._busy = True
        ran = asyncio.get_running_loop().run_in_executor(self._thread, self._run, batch)
        ran.add_done_callback(lambda future: self._finish(batch, future))

    def _run(self, batch: list[_Waiting]) -> _Ran:
        """In the model's thread: putting the batch together belongs to the inference."""
        start_s = self._clock()
        logits = self._predict(np.stack([waiting.image for waiting in batch]))
        end_s = self._clock()
        if logits.ndim != 2 or len(logits) != len(batch):
            raise ValueError(f"logits of shape {logits.shape} for {len(batch)} inputs")
        return _Ran(start_s, end_s, logits)

    def _finish(self, batch: list[_Waiting], ran: asyncio.Future[_Ran]) -> None:
        self._busy = False
        if ran.cancelled():
            return  # the batcher has been closed
        self._consider()  # the model goes on while the answers are sent
        error = ran.exception()
        if error is not None:
            _log.error("the model failed", exc_info=error)
        for row, waiting in enumerate(batch):
            if waiting.future.done():
                continue  # nobody waits for it any more
            if error is not None:
                waiting.future.set_exception(ModelError(f"the model failed: {error!r}"))
                continue
            result = ran.result()
            answer = Answer(
                logits=result.logits[row],
                queue_s=result.start_s - waiting.since_s,
                inference_s=result.end_s - result.start_s,
                batch_size=len(batch),
            )
            waiting.future.set_result(answer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
