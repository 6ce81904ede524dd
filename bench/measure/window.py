"""A measured window: time, energy, utilization and health of what runs inside it.

    with Window() as window:
        train()
    print(window.time_s, window.energy_j, window.energy_label, window.energy_error_frac)

The order matters. open(), before the clock: meters are opened and read, CodeCarbon looks for
hardware; set-up may follow. start(): they are read again, the sampler starts, the idle machine is
measured if asked for, CodeCarbon starts, then CPU times, energy and the clock are read. stop(): the
same backwards. Nothing of this project but the sampler's thread runs in between.
"""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any

from bench.core.labels import EnergyLabel
from bench.core.records import Health, Idle, UnavailableMeter, Utilization
from bench.measure.carbon import CarbonEstimate, CodeCarbonTracker
from bench.measure.cgroup import CgroupReader, CgroupReading
from bench.measure.clock import Clock, PhaseClock
from bench.measure.energy import EnergyWindow, MeterSet, WindowEnergy, idle_and_net
from bench.measure.health import health, utilization
from bench.measure.meters.auto import auto_meters
from bench.measure.meters.base import Meter, MeterUnavailable
from bench.measure.nvml import GpuReader
from bench.measure.phase_energy import PhaseMeter
from bench.measure.sampler import CgroupProbe, CpuProbe, Probe, Sampler, TelemetryRow
from bench.measure.system import CpuMeter, CpuReading, ProcessTree, peak_rss_bytes

_log = logging.getLogger(__name__)


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
        shared: bool = False,
        synchronize: Callable[[], None] = _nothing,
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is read yet.

        Args:
            meters: Energy meters by name; by default the best that each part of the machine has.
            required: Whether a meter that is not available is an error.
            codecarbon: Its own estimate is recorded beside ours.
            period_s: Time between the sampler's ticks; None for no sampler and no GPU telemetry.
            idle_s: How long the idle machine is measured before and after; 0 for not at all.
            shared: Whether other measured runs are allowed on the machine meanwhile.
            synchronize: Waits for the device, such as torch.cuda.synchronize.
            clock: Monotonic seconds.
            sleep: Waits so many seconds.
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
        self._period_s = period_s
        self._idle_s = idle_s
        self._shared = shared
        self._sleep = sleep
        self._tree = tree = ProcessTree()
        self._cpu = CpuMeter(tree)
        self._cgroup = CgroupReader()
        self._gpus = GpuReader(os.environ.get("CUDA_VISIBLE_DEVICES"), own_pids=tree.pids)
        self._no_gpu: str | None = None
        self._sampler = Sampler([])
        self._before: WindowEnergy | None = None
        self._edges: list[tuple[CpuReading, CgroupReading | None]] = []
        self._stopped = False

    @classmethod
    def time_only(cls, synchronize: Callable[[], None]) -> Window:
        """A window without meters, for a process whose energy another one measures."""
        return cls({}, period_s=None, synchronize=synchronize)

    def __enter__(self) -> Window:
        """Open and start."""
        self.open()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
        self.meters.open()
        self.phases.open()
        if self._codecarbon is not None:
            self._codecarbon.prepare()
        if self._period_s is None:
            return
        tick_s = self.meters.tick_s
        self._sampler = Sampler(
            [
                CpuProbe(CpuMeter(self._tree), self._tree),
                CgroupProbe(self._cgroup),
                *self._gpu_probes(),
            ],
            period_s=self._period_s,
            chores=[] if tick_s is None else [(tick_s, self.meters.tick)],
        )

    def _gpu_probes(self) -> list[Probe]:
        try:
            self._gpus.open()
        except MeterUnavailable as error:
            self._no_gpu = str(error)
            return []
        return [self._gpus.samples]

    def start(self) -> None:
        """Begin: the last thing before the first moment that counts."""
        self.phases.end_init()
        if self._period_s is not None:
            self._sampler.start()
        if self._idle_s:
            self._before = self._measure_idle()
        gc.collect()  # what set-up left is not collected on the run's clock
        if self._codecarbon is not None:
            self._codecarbon.start()
        self._read_edge()
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
        self.energy = self._window.until(reading)
        self.phases.stop(reading, times)
        self._read_edge()
        try:
            if self._codecarbon is not None:
                self._codecarbon.stop()
            if (before := self._before) is not None:
                after = self._measure_idle()
                self.idle = idle_and_net(self.energy, self.time_s, before, after, self._idle_s)
        finally:
            self._conclude()

    def _conclude(self) -> None:
        """Stop the sampler, and tell utilization and health from what it saw."""
        report = self._sampler.stop()
        if report.failure is not None:
            _log.warning("the sampler failed: %s", report.failure)
        (start, cgroup_start), (end, cgroup_end) = self._edges
        cgroup = (cgroup_start, cgroup_end) if cgroup_start and cgroup_end else None
        rows, total_s = self.telemetry(), self.time_s
        self.utilization = utilization(
            start, end, rows, total_s=total_s, own_peak_rss_bytes=peak_rss_bytes(), cgroup=cgroup
        )
        self.health = health(
            start,
            end,
            report,
            period_s=self._period_s or 0.0,
            shared=self._shared,
            cgroup=cgroup,
            rows=rows,
            total_s=total_s,
        )

    def close(self) -> None:
        """Release the meters."""
        self.meters.close()
        if self._period_s is not None and self._no_gpu is None:
            self._gpus.close()

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
        """The GPUs that this process can see."""
        return [asdict(device) for device in self._gpus.devices]

    @property
    def unavailable(self) -> list[UnavailableMeter]:
        """Meters that were asked for and could not be read, with the reason."""
        absent = [*self.meters.unavailable]
        if self._codecarbon is not None and self._codecarbon.unavailable is not None:
            absent.append(self._codecarbon.unavailable)
        if self._no_gpu is not None:
            absent.append(UnavailableMeter(meter="gpu_telemetry", reason=self._no_gpu))
        return absent

    def telemetry(self) -> Sequence[TelemetryRow]:
        """What the sampler saw, with times relative to the start."""
        return self._sampler.rows(origin_s=self.clock.started_s)

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

    def _read_edge(self) -> None:
        self._edges.append((self._cpu.read(refresh=True), self._cgroup.read()))

    def _measure_idle(self) -> WindowEnergy:
        window = EnergyWindow(self.meters)
        window.start()
        self._sleep(self._idle_s)
        return window.read()
