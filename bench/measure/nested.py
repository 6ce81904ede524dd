"""Measures a training inside a longer measurement, on the meters of that one.

    nested = NestedWindow(outer)   # here its set-up begins
    ... build data and model ...
    nested.start()                 # bench.training does so when it asks for the first batch
    ... train ...
    nested.stop()

The outer window goes on: these seconds and joules are part of its current phase, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import override

from bench.core.records.energy import UnavailableMeter
from bench.core.records.phases import TRAINING_PHASES, Phase
from bench.measure.energy import EnergyWindow, WindowEnergy
from bench.measure.meter_set import EnergyReading
from bench.measure.phase_energy import unseen
from bench.measure.phase_window import PhaseWindow


class NestedWindow(PhaseWindow):
    """Measures once, inside an outer window that is open; many may follow one another.

    Its clock, phases and joules are its own. The outer window already has the lock of the host, a
    sampler, CodeCarbon and the health of the run, and its joules may be doubted only at its end.
    Unlike the outer window, this one does not collect garbage before its clock: with PyTorch loaded
    that takes 0.3 s, as long as a small training, and the outer clock would count it.

    Attributes:
        total_s: Seconds from here to stop(), with the set-up; those so far before stop().
        total_energy: Joules in that time; empty before stop().
    """

    def __init__(self, outer: PhaseWindow, phases: Sequence[Phase] = TRAINING_PHASES) -> None:
        """Begin to meter the set-up.

        Args:
            outer: The window around it, open. Before its clock starts, nothing samples power, so
                joules that must be integrated from it are unknown.
            phases: The phases of its clock, which starts in the first one.
        """
        super().__init__(
            outer.meters,
            clock=outer.clock.now_s,
            phases=phases,
            synchronize=outer.synchronize,
        )
        self.total_energy = WindowEnergy()
        self._outer = outer
        self._is_sampled = outer.clock.started
        self._since_open = EnergyWindow(outer.meters)
        self._opened = self._since_open.start()
        self.phases.open()

    @property
    def init_s(self) -> float:
        """Seconds of its set-up, until its clock started.

        Raises:
            RuntimeError: Its clock has not started.
        """
        return self.clock.started_s - self._opened.at_s

    @property
    def total_s(self) -> float:
        """Seconds since it was made, until stop()."""
        return self.init_s + self.time_s

    @override
    def flag(self, name: str) -> None:
        self._outer.flag(name)

    @property
    @override
    def unavailable(self) -> list[UnavailableMeter]:
        return self._outer.unavailable

    @override
    def _prepare(self) -> None:
        """Do nothing: the outer window has done it."""

    @override
    def _conclude(self, end: EnergyReading) -> None:
        if not self._is_sampled and unseen(self._opened, end):
            self.phases.book.complete = False
            return
        self.energy = self._window.until(end)
        self.total_energy = self._since_open.until(end)
