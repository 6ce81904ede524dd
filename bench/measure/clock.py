"""The clock of a run: one monotonic time line on which each moment belongs to one phase.

It starts when the training loop asks for its first batch, and it never pauses. docs/metrics.md says
what the phases include.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.core.records.phases import TRAINING_PHASES, Phase

# Seconds on a monotonic time line whose zero means nothing.
Clock = Callable[[], float]
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


@dataclass(frozen=True, slots=True)
class PhaseTimes:
    """Seconds since the clock started, in total and by phase.

    total_s is the sum of the phases in their order, to the last bit.
    """

    total_s: float
    by_phase_s: Mapping[Phase, float]

    @classmethod
    def at_start(cls, phases: Sequence[Phase]) -> PhaseTimes:
        """No time has passed."""
        return cls(0.0, dict.fromkeys(phases, 0.0))

    def of(self, phase: Phase) -> float:
        """Seconds of one phase."""
        return self.by_phase_s[phase]


class PhaseClock:
    """Books the time that passes on the current phase.

    switch() costs one reading of the clock and a few additions, so it can mark every edge.

    Attributes:
        phases: Its phases, in the order of their sum.
        phase: The current one.
    """

    def __init__(
        self, clock: Clock = time.perf_counter, phases: Sequence[Phase] = TRAINING_PHASES
    ) -> None:
        """Book nothing yet.

        Args:
            clock: Monotonic seconds.
            phases: Its phases, at least one.
        """
        self.phases = tuple(phases)
        self.phase = self.phases[0]
        self._clock = clock
        self._booked_s = dict.fromkeys(self.phases, 0.0)
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

    def start(self, phase: Phase | None = None) -> None:
        """Start, once, in this phase; by default in the first one.

        Raises:
            RuntimeError: It was started before. A clock that starts twice would have paused.
            ValueError: The clock has no such phase.
        """
        if self._started_s is not None:
            raise RuntimeError("the phase clock was started before; use a new one for each run")
        self.phase = self._known(phase or self.phase)
        self._started_s = self._switched_s = self._clock()

    def switch(self, phase: Phase) -> PhaseTimes:
        """Book the time since the last switch on the current phase, and begin another.

        After stop() this changes nothing.

        Returns:
            Cumulative times at this edge.

        Raises:
            RuntimeError: It has not been started.
            ValueError: The clock has no such phase.
        """
        times = self.reading()
        if not self._stopped:
            self.phase = self._known(phase)
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
        # The sum, not now - start: rounding would let the phases miss the total by a few ulp. Not
        # sum(), which from Python 3.12 on rounds otherwise than additions one after another.
        total_s = 0.0
        for seconds in self._booked_s.values():
            total_s += seconds
        return PhaseTimes(total_s, self._booked_s.copy())

    def stop(self) -> PhaseTimes:
        """Stop for good; stopping again gives the same times.

        Raises:
            RuntimeError: It has not been started.
        """
        times = self.reading()
        self._stopped = True
        return times

    def _known(self, phase: Phase) -> Phase:
        if phase not in self._booked_s:
            raise ValueError(f"phase {phase}: this clock has only {', '.join(self.phases)}")
        return phase

    def _book(self) -> None:
        if self._started_s is None:
            raise RuntimeError("the phase clock has not been started")
        now_s = self._clock()
        self._booked_s[self.phase] += now_s - self._switched_s
        self._switched_s = now_s
