"""Joules of exactly the time in which a system answers.

LoadGen prepares its queries and writes its logs inside a pass: 0.2 s of a pass of three seconds at
90,000 queries. A prediction is not charged for that: the meters are read when the first query is
issued and when the last has been answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.measure.energy import EnergyWindow, WindowEnergy
from bench.measure.meter_set import MeterSet
from bench.serving.system import Done, Sample, System


class MeteredSystem:
    """A system whose meters are read at the first query of a pass and at its end.

    The one reading at the start, some tens of microseconds, falls into the first query.
    """

    def __init__(self, system: System, *, answers_at_once: bool) -> None:
        """Nothing is read yet.

        Args:
            system: What answers.
            answers_at_once: Whether a query has been answered when issue() returns: the end is then
                when no further query comes, else when read() is called.
        """
        self._system = system
        self._answers_at_once = answers_at_once
        self._window: EnergyWindow | None = None
        self._started = False
        self._energy: WindowEnergy | None = None

    def measure(self, meters: MeterSet) -> None:
        """Meter the pass that begins next.

        Args:
            meters: Open.
        """
        self._window = EnergyWindow(meters)
        self._started = False
        self._energy = None

    def read(self) -> WindowEnergy:
        """Energy of the pass; nothing where no query came."""
        if self._energy is None and self._window is not None and self._started:
            self._energy = self._window.read()
        return self._energy or WindowEnergy()

    @property
    def failure(self) -> BaseException | None:
        """As in System."""
        return self._system.failure

    @failure.setter
    def failure(self, error: BaseException | None) -> None:
        self._system.failure = error

    @property
    def num_failed(self) -> int:
        """As in System."""
        return self._system.num_failed

    def begin(self, done: Done, *, collect: bool) -> None:
        """As in System."""
        self._system.begin(done, collect=collect)

    def issue(self, samples: Sequence[Sample]) -> None:
        """As in System; the first query starts the meters."""
        if self._window is not None and not self._started:
            self._window.start()
            self._started = True
        self._system.issue(samples)

    def flush(self) -> None:
        """As in System."""
        self._system.flush()
        if self._answers_at_once:
            self.read()

    def end(self) -> None:
        """As in System."""
        self._system.end()

    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """As in System."""
        return self._system.answers()

    def columns(self) -> Mapping[str, Sequence[float]]:
        """As in System."""
        return self._system.columns()

    def failed_because(self) -> Sequence[str]:
        """As in System."""
        return self._system.failed_because()
