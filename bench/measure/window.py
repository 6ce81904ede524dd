"""A measured window: time, energy, utilization and health of what runs inside it.

    with Window() as window:
        train()
    print(window.time_s, window.energy_j, window.energy_label, window.energy_error_frac)

The order matters. open(), before the clock: meters are opened and read, CodeCarbon looks for
hardware; set-up may follow. start(): they are read again, the sampler starts, the idle machine is
measured if asked for, CodeCarbon starts, then CPU times, energy and the clock are read. stop() does
the same in reverse. Nothing of this project but the sampler's thread runs in between.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bench.core.labels import EnergyLabel
from bench.core.records.energy import Idle, UnavailableMeter
from bench.core.records.health import Health, Utilization
from bench.measure.alone import Alone
from bench.measure.carbon import CarbonEstimate, CodeCarbonTracker
from bench.measure.clock import Clock, PhaseClock
from bench.measure.crosscheck import contradicted
from bench.measure.energy import EnergyWindow, WindowEnergy, idle_and_net
from bench.measure.meter_set import EnergyReading, MeterSet
from bench.measure.meters.auto import auto_meters
from bench.measure.meters.base import Meter
from bench.measure.observer import Observer
from bench.measure.phase_energy import PhaseMeter
from bench.measure.sampler import TelemetryRow
from bench.measure.settle import GpuScope


def _nothing() -> None:
    """Do nothing."""


class Window:
    """Measures from start() to stop(), once; as a context manager it opens and closes itself."""

    def __init__(
        self,
        meters: Mapping[str, Meter] | None = None,
        *,
        required: bool = False,
        codecarbon: CodeCarbonTracker | None = None,
        period_s: float | None = 0.5,
        idle_s: float = 0.0,
        shared: bool | None = None,
        synchronize: Callable[[], None] = _nothing,
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
        gpus: Sequence[str] | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            meters: Energy meters by name; by default the best that each part of the machine has.
            required: Whether a meter that is not available is an error.
            codecarbon: Its own estimate is recorded beside ours.
            period_s: Time between the sampler's ticks; None for no sampler and no GPU telemetry.
            idle_s: How long the idle machine is measured before and after; 0 for not at all.
            shared: Whether other runs may be measured on this host meanwhile; None to keep them
                away, or to be marked as shared where one is being measured already.
            synchronize: Waits for the device, such as torch.cuda.synchronize.
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
            gpus: UUIDs of the GPUs that the run uses, with or without the prefix "GPU-"; None for
                all that are visible to the process, an empty list for none.
        """
        self.clock = PhaseClock(clock)
        self.synchronize = synchronize
        self.energy = WindowEnergy()
        self.idle: Idle | None = None
        self.utilization: Utilization | None = None
        self.health: Health | None = None
        # Open between open() and close(), for further windows: they may overlap and nest.
        self.meters = MeterSet(
            auto_meters() if meters is None else meters, required=required, clock=clock
        )
        self._window = EnergyWindow(self.meters)
        self.phases = PhaseMeter(self.meters, self.clock)
        self._codecarbon = codecarbon
        self._idle_s = idle_s
        self._sleep = sleep
        self._uses_visible = gpus is None
        self._observe = partial(Observer, period_s=period_s)
        self._alone = Alone(shared)
        self._observer = self._observe(gpus=gpus)
        self._scope = GpuScope()
        self._flags: list[str] = []
        self._before: WindowEnergy | None = None
        self._stopped = False
        self._concluded = False

    @classmethod
    def time_only(cls, synchronize: Callable[[], None]) -> Window:
        """A window without meters, for a process whose energy another one measures."""
        return cls({}, period_s=None, shared=False, synchronize=synchronize, gpus=[])

    def use_gpus(self, gpus: Sequence[str] | None) -> None:
        """Name the GPUs of the run before open(), unless the window was made for certain ones.

        Args:
            gpus: As of the window.
        """
        if self._uses_visible:
            self._observer = self._observe(gpus=gpus)

    def __enter__(self) -> Window:
        """Open and start."""
        self.open()
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop and close; after an exception too, and what was measured until then is kept."""
        try:
            self.stop()
        finally:
            self.close()

    def open(self) -> None:
        """Do all that is slow; before the clock.

        Raises:
            MeterUnavailable: A meter cannot be opened, and they are required.
        """
        if not self._alone.open():
            self.flag("shared")
        try:
            self._scope = self._observer.open_gpus()
            self.meters.open(self._scope)
        except BaseException:
            self.close()
            raise
        self.phases.open()
        if self._codecarbon is not None:
            self._codecarbon.prepare()
        tick_s = self.meters.tick_s
        self._observer.open([] if tick_s is None else [(tick_s, self.meters.tick)])

    def start(self) -> None:
        """Begin: the last thing before the first moment that counts."""
        self.phases.end_init()
        self._observer.start()
        if self._idle_s:
            self._before = self._measure_idle()
        gc.collect()  # what set-up left is not collected on the run's clock
        if self._codecarbon is not None:
            self._codecarbon.start()
        self._observer.read_edge()
        self.synchronize()
        reading = self._window.start()
        self.clock.start()
        self.phases.start(reading)

    def read(self) -> WindowEnergy:
        """Energy since start(); synchronise the device first where it may be at work."""
        return self._window.read()

    def stop(self) -> None:
        """End; stopping again, or without a start, changes nothing.

        Raises:
            RuntimeError: The device was lost; what was spent until now is kept all the same.
        """
        if self._stopped or not self.clock.started:
            return
        self._stopped = True
        try:
            self.synchronize()
        finally:
            self._end()

    def _end(self) -> None:
        reading = self.meters.read()
        times = self.clock.stop()
        self.phases.stop(reading, times)
        self._observer.read_edge()
        try:
            if self._codecarbon is not None:
                self._codecarbon.stop()
        finally:
            self._conclude(reading)

    def _conclude(self, end: EnergyReading) -> None:
        """What follows from the readings; the idle machine may be interrupted."""
        self._settle_energy(end)
        try:
            if (before := self._before) is not None:
                after = self._measure_idle()
                self.idle = idle_and_net(self.energy, self.time_s, before, after, self._idle_s)
        finally:
            self.utilization, self.health = self._observer.conclude(
                started_s=self.clock.started_s, total_s=self.time_s, flags=self._flags
            )
            self._concluded = True

    def _settle_energy(self, end: EnergyReading) -> None:
        """Joules until the end of the clock, and what speaks against them."""
        components = self.meters.components
        self.energy = self._window.until(end)
        wrong = contradicted(self.energy.rows, components, self.telemetry(), self.time_s)
        wrong |= self._window.impossible(end)
        for name, reason in wrong.items():
            self.meters.fail(name, reason)
        if wrong:
            self.energy = self._window.until(end)
            self.phases.discard()
        failed = self.meters.failed
        if any(one.name in failed for one in components if one.label != "constant"):
            self.flag("meter_failed")
        if self._scope.misses_some(one for one in components if one.name not in failed):
            self.flag("gpu_energy_missing")

    def flag(self, name: str) -> None:
        """Add a flag to the window's health; the flags of ENERGY_FLAGS leave it comparable.

        Raises:
            RuntimeError: Its health has been judged already.
        """
        if self._concluded:
            raise RuntimeError(f"flag {name}: the window has been concluded")
        self._flags.append(name)

    def close(self) -> None:
        """Release the meters."""
        self.meters.close()
        self._observer.close()
        self._alone.close()

    @property
    def time_s(self) -> float:
        """Seconds since start(), or from start() to stop()."""
        return self.clock.elapsed_s()

    @property
    def energy_j(self) -> float | None:
        """Joules from start() to stop(), without constants; None where not all was measured."""
        return self.energy.total_j

    @property
    def energy_label(self) -> EnergyLabel | None:
        """How the weakest part of energy_j was obtained."""
        return self.energy.label

    @property
    def energy_error_frac(self) -> float | None:
        """Bound of the systematic error of energy_j, as a share of it."""
        return self.energy.error_frac

    @property
    def codecarbon(self) -> CarbonEstimate | None:
        """CodeCarbon's own estimate; None without one."""
        return self._codecarbon.result if self._codecarbon else None

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The GPUs of the run."""
        return self._observer.devices

    @property
    def unavailable(self) -> list[UnavailableMeter]:
        """Meters that were asked for and could not be read, with the reason."""
        absent = [*self.meters.unavailable]
        if self._codecarbon is not None and self._codecarbon.unavailable is not None:
            absent.append(self._codecarbon.unavailable)
        return absent + self._observer.unavailable

    def telemetry(self) -> Sequence[TelemetryRow]:
        """What the sampler saw, with times relative to the start."""
        return self._observer.telemetry(self.clock.started_s)

    def record_fields(self) -> dict[str, Any]:
        """The fields of a record that a window gives; before stop() only what is missing."""
        fields: dict[str, Any] = {"unavailable_meters": self.unavailable}
        if not self._stopped:
            return fields
        if self.codecarbon is not None:
            fields |= self.codecarbon.record_fields()
        return fields | {
            "energy": list(self.energy.rows),
            "energy_total_j": self.energy.total_j,
            "energy_label": self.energy.label,
            "energy_error_frac": self.energy.error_frac,
            "idle": self.idle,
            "utilization": self.utilization,
            "health": self.health,
        }

    def _measure_idle(self) -> WindowEnergy:
        window = EnergyWindow(self.meters)
        window.start()
        self._sleep(self._idle_s)
        return window.read()
