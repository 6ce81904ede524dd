"""Measures time, energy, utilization and health of the code that runs inside a window.

    with Window() as window:
        train()
    print(window.time_s, window.energy_j, window.energy_label, window.energy_error_frac)

The order matters. open() comes before the clock: it opens and reads the meters, and lets CodeCarbon
look for hardware. Set-up may follow. start() reads the meters again, starts the sampler, measures
the idle machine if asked to, starts CodeCarbon, and then reads CPU times, energy and the clock.
stop() does the same in reverse. In between, only the sampler's thread runs code of this project.
"""

from __future__ import annotations

import gc
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from typing_extensions import override

from bench.core.lock import hold_if_free
from bench.core.records.energy import Idle, UnavailableMeter
from bench.core.records.health import Health, Utilization
from bench.core.records.phases import TRAINING_PHASES, Phase
from bench.measure.carbon import CarbonEstimate, CodeCarbonTracker
from bench.measure.clock import Clock
from bench.measure.crosscheck import contradicted
from bench.measure.energy import EnergyWindow, WindowEnergy, idle_and_net
from bench.measure.meter_set import EnergyReading, MeterSet
from bench.measure.meters.auto import auto_meters
from bench.measure.meters.base import Meter
from bench.measure.observer import Observer
from bench.measure.os.cgroup import CgroupReading
from bench.measure.os.cpu_use import CpuReading
from bench.measure.phase_window import PhaseWindow
from bench.measure.sampler import TelemetryRow

# The edges of the two measurements of the idle machine in readings.parquet.
IDLE_BEFORE, IDLE_AFTER = "idle_before", "idle_after"


class Window(PhaseWindow):
    """Measures from start() to stop(), once; as a context manager it opens and closes itself.

    Args:
        meters: Energy meters by name; by default the best for each part of the machine.
        required: Whether a meter that is not available is an error.
        codecarbon: CodeCarbon's tracker, if its estimate is to be recorded beside ours.
        period_s: Time between the sampler's ticks; None for no sampler and no GPU telemetry.
        idle_s: How long to measure the idle machine before and after; 0 for not at all.
        shared: Whether other runs may be measured on this host at the same time. None keeps them
            away, or flags this window as shared if a run is being measured already.
        synchronize: Waits for the device, such as torch.cuda.synchronize; by default nothing.
        clock: Monotonic seconds.
        sleep: Waits for a number of seconds.
        gpus: UUIDs of the GPUs that the run uses, with or without the prefix "GPU-"; None for all
            that are visible to the process, an empty list for none.
        phases: The phases of its clock, which starts in the first one.
        around: Entered right before the clock starts, and left when it has stopped.
        of_children: Whether the run is a program that this process starts, so that memory is that
            of child processes only.
    """

    def __init__(
        self,
        meters: Mapping[str, Meter] | None = None,
        *,
        required: bool = False,
        codecarbon: CodeCarbonTracker | None = None,
        period_s: float | None = 0.5,
        idle_s: float = 0.0,
        shared: bool | None = None,
        synchronize: Callable[[], None] = lambda: None,
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
        gpus: Sequence[str] | None = None,
        phases: Sequence[Phase] = TRAINING_PHASES,
        around: AbstractContextManager[object] | None = None,
        of_children: bool = False,
    ) -> None:
        """Nothing is read yet."""
        by_name = auto_meters() if meters is None else meters
        # Open between open() and close(), for further windows: they may overlap and nest.
        meter_set = MeterSet(by_name, required=required, clock=clock)
        super().__init__(meter_set, clock=clock, phases=phases, synchronize=synchronize)
        self.idle: Idle | None = None
        self.utilization: Utilization | None = None
        self.health: Health | None = None
        self._codecarbon = codecarbon
        self._idle_s = idle_s
        self._sleep = sleep
        self._shared = shared
        self._gpus = gpus
        self._period_s = period_s
        self._of_children = of_children
        self._observer = Observer(period_s=period_s, gpus=gpus, of_children=of_children)
        self._flags: list[str] = []
        self._before: WindowEnergy | None = None
        self._around = nullcontext() if around is None else around
        self._resources = ExitStack()

    @classmethod
    def time_only(cls, synchronize: Callable[[], None]) -> Window:
        """Make a window without meters, for a process whose energy another one measures."""
        return cls({}, period_s=None, shared=False, synchronize=synchronize, gpus=[])

    def use_gpus(self, gpus: Sequence[str] | None) -> None:
        """Name the GPUs of the run before open(), unless the window was made for certain ones."""
        if self._gpus is None:
            self._observer = Observer(
                period_s=self._period_s, gpus=gpus, of_children=self._of_children
            )

    def __enter__(self) -> Window:
        """Open the window and start it."""
        self.open()
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop and close, also after an exception; what was measured until then is kept."""
        try:
            self.stop()
        finally:
            self.close()

    def open(self) -> None:
        """Do everything slow, before the clock starts.

        Raises:
            MeterUnavailable: A meter cannot be opened, and they are required.
            RuntimeError: The window has measured before; its clock would count that time, too.
        """
        if self.clock.started:
            raise RuntimeError("a Window measures once: make a new one for each measurement")
        with ExitStack() as resources:
            self._hold_host(resources)
            resources.callback(self._observer.close)
            resources.callback(self.meters.close)
            self.meters.open(self._observer.open_gpus())
            self.phases.open()
            if self._codecarbon is not None:
                self._codecarbon.prepare(self._observer.gpu_indices)
            tick_s = self.meters.tick_s
            self._observer.open([] if tick_s is None else [(tick_s, self.meters.tick)])
            self._resources = resources.pop_all()

    def _hold_host(self, resources: ExitStack) -> None:
        """Keep other runs from being measured, as far as that is wanted and possible."""
        if self._shared:
            self.flag("shared")
        elif self._shared is None:
            lock = hold_if_free(f"a window of {sys.argv[0] or 'an interactive Python'}")
            if isinstance(lock, str):
                warnings.warn(f"{lock}; this one is marked as shared", stacklevel=4)
                self.flag("shared")
            else:
                resources.callback(lock)

    @override
    def _prepare(self) -> None:
        self._observer.start()
        if self._idle_s:
            self._before = self._measure_idle(IDLE_BEFORE)
        gc.collect()  # so that garbage of the set-up is not collected on the run's clock
        self._observer.list_processes()
        if self._codecarbon is not None:
            self._codecarbon.start()
        self._around.__enter__()
        self._observer.read_edge()

    @override
    def _conclude(self, end: EnergyReading) -> None:
        self._observer.read_edge()
        self._around.__exit__(None, None, None)
        try:
            if self._codecarbon is not None:
                self._codecarbon.stop()
            self._observer.list_processes()
        finally:
            self._judge(end)

    def _judge(self, end: EnergyReading) -> None:
        """Compute all results; Ctrl-C may interrupt the measurement of the idle machine."""
        self._settle_energy(end)
        try:
            if (before := self._before) is not None:
                after = self._measure_idle(IDLE_AFTER)
                self.idle = idle_and_net(self.energy, self.time_s, before, after, self._idle_s)
        finally:
            self.utilization, self.health = self._observer.conclude(
                started_s=self.clock.started_s, total_s=self.time_s, flags=self._flags
            )

    def _settle_energy(self, end: EnergyReading) -> None:
        """Compute the joules until the end of the clock, and drop those that cannot be right."""
        components = self.meters.components
        rows = self._window.until(end).rows
        wrong = contradicted(rows, components, self.telemetry(), self.time_s)
        wrong |= self._window.impossible(end)
        for name, reason in wrong.items():
            self.meters.fail(name, reason)
        self.energy = self._window.until(end)
        if wrong:
            self.phases.book.complete = False  # none of the joules by phase count either
        failed = self.meters.failed
        if any(one.name in failed for one in components if one.label != "constant"):
            self.flag("meter_failed")
        if self.meters.misses_gpu:
            self.flag("gpu_energy_missing")

    @override
    def flag(self, name: str) -> None:
        """Add a flag to the window's health; the flags of ENERGY_FLAGS leave it comparable.

        Raises:
            RuntimeError: The health has been judged already.
        """
        if self.health is not None:
            raise RuntimeError(f"flag {name}: the window has been concluded")
        if name not in self._flags:  # several nested windows may have the same
            self._flags.append(name)

    def close(self) -> None:
        """Release the meters, the GPUs and the host."""
        self._resources.close()

    @property
    def codecarbon(self) -> CarbonEstimate | None:
        """CodeCarbon's own estimate; None without one."""
        return self._codecarbon.result if self._codecarbon else None

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The GPUs of the run."""
        return self._observer.devices

    @property
    def driver(self) -> dict[str, str | bool | None]:
        """Versions of the driver of the GPUs and of its CUDA; empty without a driver."""
        return self._observer.driver

    @property
    @override
    def unavailable(self) -> list[UnavailableMeter]:
        """Meters that could not be read, with the reasons."""
        carbon = self._codecarbon.unavailable if self._codecarbon else None
        reasons = [*self.meters.unavailable, *([carbon] if carbon else [])]
        return reasons + self._observer.unavailable

    @property
    def cpu_edges(self) -> Sequence[tuple[CpuReading, CgroupReading | None]]:
        """CPU times of the machine and its control group at the start and the end of the clock."""
        return self._observer.edges

    def telemetry(self) -> Sequence[TelemetryRow]:
        """The samples of the sampler, with times relative to the start."""
        return self._observer.telemetry(self.clock.started_s)

    def record_fields(self) -> dict[str, Any]:
        """The fields of a record that a window knows; before stop() only the meters it lacks."""
        fields: dict[str, Any] = {"unavailable_meters": self.unavailable}
        if not self._stopped:
            return fields
        carbon = self.codecarbon
        fields |= carbon.record_fields() if carbon else {}
        return fields | {
            "energy": list(self.energy.rows),
            "energy_total_j": self.energy.total_j,
            "energy_label": self.energy.label,
            "energy_error_frac": self.energy.error_frac,
            "idle": self.idle,
            "utilization": self.utilization,
            "health": self.health,
        }

    def _measure_idle(self, mark: str) -> WindowEnergy:
        window = EnergyWindow(self.meters)
        self.phases.keep(window.start(), mark)
        self._sleep(self._idle_s)
        end = self.meters.read()
        self.phases.keep(end, mark)
        return window.until(end)
