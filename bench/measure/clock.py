"""The clock of a run: one monotonic time line on which each moment belongs to one phase.

It starts when the training loop asks for its first batch, and it never pauses. docs/metrics.md says
what the phases include.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

# Seconds on a monotonic time line whose zero means nothing.
Clock = Callable[[], float]
Phase = Literal["train", "eval", "checkpoint"]
T = TypeVar("T")

# Reading the kernel's counters takes 0.1 ms, and with a look for children 1 ms.
_PROMPT_S = 0.003
_MORE_TRIES = 3


def read_promptly(clock: Clock, read: Callable[[], T]) -> tuple[float, T]:
    """Read a value together with the time at which it was read.

    The clock is read before and after. If another thread held the interpreter in between, the
    moment is not known, so the value is read again; the quickest of a few tries counts.

    Args:
        clock: Monotonic seconds.
        read: Reads the value.

    Returns:
        The middle of the time that the reading took, and the value.
    """
    quickest_s, best = _timed(clock, read)
    for _ in range(_MORE_TRIES):
        if quickest_s <= _PROMPT_S:
            break
        took_s, timed = _timed(clock, read)
        if took_s < quickest_s:
            quickest_s, best = took_s, timed
    return best


def _timed(clock: Clock, read: Callable[[], T]) -> tuple[float, tuple[float, T]]:
    began_s = clock()
    value = read()
    took_s = clock() - began_s
    return took_s, (began_s + took_s / 2, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseTimes:
    """Seconds since the clock started; total_s is the sum of the phases, to the last bit."""

    total_s: float
    train_s: float
    eval_s: float
    checkpoint_s: float

    def of(self, phase: Phase) -> float:
        """Seconds of one phase."""
        return {"train": self.train_s, "eval": self.eval_s, "checkpoint": self.checkpoint_s}[phase]


AT_START = PhaseTimes(total_s=0.0, train_s=0.0, eval_s=0.0, checkpoint_s=0.0)


class PhaseClock:
    """Books the time that passes on the current phase.

    switch() costs one reading of the clock and a few additions, so it can mark every edge.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._booked_s: dict[Phase, float] = {"train": 0.0, "eval": 0.0, "checkpoint": 0.0}
        self._phase: Phase = "train"
        self._started_s: float | None = None
        self._switched_s = 0.0
        self._stopped = False

    @property
    def started(self) -> bool:
        """Whether the clock has been started."""
        return self._started_s is not None

    @property
    def started_s(self) -> float:
        """When the clock started, on the time line of the injected clock.

        Raises:
            RuntimeError: It has not been started.
        """
        if self._started_s is None:
            raise RuntimeError("the phase clock has not been started")
        return self._started_s

    def now_s(self) -> float:
        """The injected clock, whether this one has been started or not."""
        return self._clock()

    @property
    def phase(self) -> Phase:
        """The current phase."""
        return self._phase

    def start(self, phase: Phase = "train") -> None:
        """Start, once, in this phase.

        Raises:
            RuntimeError: It was started before. A clock that starts twice would have paused.
        """
        if self._started_s is not None:
            raise RuntimeError("the phase clock was started before; use a new one for each run")
        self._phase = phase
        self._started_s = self._switched_s = self._clock()

    def switch(self, phase: Phase) -> PhaseTimes:
        """Book the time since the last switch on the current phase, and begin another.

        After stop() this changes nothing.

        Returns:
            Cumulative times at this edge.

        Raises:
            RuntimeError: It has not been started.
        """
        times = self.reading()
        if not self._stopped:
            self._phase = phase
        return times

    def elapsed_s(self) -> float:
        """Seconds since the start; after stop(), until the stop.

        Raises:
            RuntimeError: It has not been started.
        """
        return (self._switched_s if self._stopped else self._clock()) - self.started_s

    def reading(self) -> PhaseTimes:
        """Cumulative times now; after stop(), at the stop.

        Raises:
            RuntimeError: It has not been started.
        """
        if not self._stopped:
            self._book()
        train_s, eval_s, checkpoint_s = self._booked_s.values()
        # The sum, not now - start: rounding would let the phases miss the total by a few ulp.
        total_s = train_s + eval_s + checkpoint_s
        return PhaseTimes(
            total_s=total_s, train_s=train_s, eval_s=eval_s, checkpoint_s=checkpoint_s
        )

    def stop(self) -> PhaseTimes:
        """Stop for good; stopping again gives the same times.

        Raises:
            RuntimeError: It has not been started.
        """
        times = self.reading()
        self._stopped = True
        return times

    def _book(self) -> None:
        if self._started_s is None:
            raise RuntimeError("the phase clock has not been started")
        now_s = self._clock()
        self._booked_s[self._phase] += now_s - self._switched_s
        self._switched_s = now_s
