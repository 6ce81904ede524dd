"""Time and joules by phase between two moments of a run, on meters that are open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from bench.core.labels import EnergyLabel
from bench.core.records.energy import UnavailableMeter
from bench.core.records.phases import Phase
from bench.measure.clock import Clock, PhaseClock
from bench.measure.energy import EnergyWindow, WindowEnergy
from bench.measure.meter_set import EnergyReading, MeterSet
from bench.measure.phase_energy import PhaseMeter


class PhaseWindow(ABC):
    """Measures from start() to stop(), once: all that the measurement of a training needs.

    Attributes:
        clock: Its clock, with its phases.
        phases: Reads the meters where a phase ends.
        meters: The meters; open from before start() until after stop().
        synchronize: Waits for the device.
        energy: The energy from start() to stop(); empty until then.
    """

    def __init__(
        self,
        meters: MeterSet,
        *,
        clock: Clock,
        phases: Sequence[Phase],
        synchronize: Callable[[], None],
    ) -> None:
        """Nothing is read yet.

        Args:
            meters: The meters.
            clock: Monotonic seconds.
            phases: The phases of its clock, which starts in the first one.
            synchronize: Waits for the device.
        """
        self.clock = PhaseClock(clock, phases)
        self.meters = meters
        self.phases = PhaseMeter(meters, self.clock)
        self.synchronize = synchronize
        self.energy = WindowEnergy()
        self._window = EnergyWindow(meters)
        self._stopped = False

    @abstractmethod
    def flag(self, name: str) -> None:
        """Add a flag to the health of the run."""

    @property
    @abstractmethod
    def unavailable(self) -> list[UnavailableMeter]:
        """Meters that could not be read, with the reasons."""

    @abstractmethod
    def _prepare(self) -> None:
        """Do what comes between set-up and the clock."""

    @abstractmethod
    def _conclude(self, end: EnergyReading) -> None:
        """Compute the results.

        Args:
            end: The reading at the end of the clock.
        """

    def start(self) -> None:
        """Begin to measure: the last call before the first moment that counts."""
        self.phases.end_init()
        self._prepare()
        self.synchronize()
        reading = self._window.start()
        self.clock.start()
        self.phases.start(reading)

    def read(self) -> WindowEnergy:
        """Return the energy since start(); synchronise the device first if it may be busy."""
        return self._window.read()

    def stop(self) -> None:
        """End the window; stopping again, or without a start, changes nothing.

        Raises:
            RuntimeError: The device was lost; what the run used until now is kept nevertheless.
        """
        if self._stopped or not self.clock.started:
            return
        self._stopped = True
        try:
            self.synchronize()
        finally:
            reading = self.meters.read()
            self.phases.stop(reading, self.clock.stop())
            self._conclude(reading)

    @property
    def time_s(self) -> float:
        """Seconds since start(), or from start() to stop()."""
        return self.clock.elapsed_s()

    @property
    def energy_j(self) -> float | None:
        """Joules from start() to stop(), without constants; None if any part was not measured."""
        return self.energy.total_j

    @property
    def energy_label(self) -> EnergyLabel | None:
        """The weakest label of the parts of energy_j."""
        return self.energy.label

    @property
    def energy_error_frac(self) -> float | None:
        """Bound on the systematic error of energy_j, as a share of it."""
        return self.energy.error_frac
