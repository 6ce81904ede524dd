"""What a run is measured with, from its configuration: meters, sampler, CodeCarbon and one clock.

The order matters. Before the clock: meters are opened and CodeCarbon looks for hardware. At its
start: sampler and CodeCarbon start, then CPU times, energy and the clock are read. At its end the
same backwards.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hydra.utils import instantiate

from bench.core.records import UnavailableMeter
from bench.measure.carbon import CodeCarbonTracker
from bench.measure.clock import PhaseClock
from bench.measure.health import health, utilization
from bench.measure.meters.base import Meter, MeterUnavailable
from bench.measure.nvml import GpuReader
from bench.measure.sampler import CpuProbe, Probe, Sampler, write_telemetry
from bench.measure.system import CpuMeter, CpuReading, ProcessTree, peak_rss_bytes
from bench.measure.window import EnergyWindow
from bench.training.profiler import Instruments


class Session:
    """All instruments of one run; close() whatever happens."""

    def __init__(self, plain: dict[str, Any], *, synchronize: Callable[[], None]) -> None:
        """Open everything that is slow to open.

        Args:
            plain: The resolved configuration.
            synchronize: Waits for the device.

        Raises:
            ValueError: A meter is configured with values that contradict each other.
        """
        meters: dict[str, Meter] = {
            name: instantiate(node) for name, node in plain["meters"].items()
        }
        tracker = plain["codecarbon"]
        self._codecarbon: CodeCarbonTracker | None = instantiate(tracker) if tracker else None
        self._period_s = float(plain["sampler"]["period_s"])
        self._shared = bool(plain["shared"])
        self._synchronize = synchronize
        self._clock = PhaseClock()
        self._energy = EnergyWindow(meters)
        self._energy.open()
        if self._codecarbon is not None:
            self._codecarbon.prepare()
        tree = ProcessTree()
        self._cpu = CpuMeter(tree)
        self._gpus = GpuReader(os.environ.get("CUDA_VISIBLE_DEVICES"))
        self._no_gpu: str | None = None
        # The GPUs that the run can see, for the host's facts.
        self.devices: list[dict[str, Any]] = []
        self._sampler = Sampler(
            [CpuProbe(CpuMeter(tree), tree), *self._gpu_probes()], period_s=self._period_s
        )
        self._edges: list[CpuReading] = []
        self._measured: dict[str, Any] = {}

    def _gpu_probes(self) -> list[Probe]:
        try:
            self._gpus.open()
        except MeterUnavailable as error:
            self._no_gpu = str(error)
            return []
        self.devices = [asdict(device) for device in self._gpus.devices]
        return [self._gpus.samples]

    def instruments(self, *, before_start: Callable[[], None]) -> Instruments:
        """What the profiler reads; before_start is called as the last thing off the clock."""

        def start() -> None:
            gc.collect()  # what set-up left is not collected on the run's clock
            self._sampler.start()
            if self._codecarbon is not None:
                self._codecarbon.start()
            before_start()
            self._edges.append(self._cpu.read(refresh=True))

        return Instruments(
            clock=self._clock,
            energy=self._energy,
            synchronize=self._synchronize,
            before_start=start,
            after_stop=self._after_stop,
        )

    def _after_stop(self) -> None:
        self._edges.append(self._cpu.read(refresh=True))
        energy = self._energy.rows()
        if self._codecarbon is not None:
            self._codecarbon.stop()
        report = self._sampler.stop()
        start, end = self._edges
        self._measured = {
            "energy": energy,
            "energy_label": self._energy.label,
            "utilization": utilization(
                start,
                end,
                self._sampler.rows(origin_s=self._clock.started_s),
                total_s=self._clock.elapsed_s(),
                own_peak_rss_bytes=peak_rss_bytes(),
            ),
            "health": health(start, end, report, period_s=self._period_s, shared=self._shared),
            **self._codecarbon_fields(),
        }

    def _codecarbon_fields(self) -> dict[str, Any]:
        estimate = self._codecarbon.result if self._codecarbon else None
        if estimate is None:
            return {}
        return {
            "codecarbon_energy_j": estimate.energy_j,
            "codecarbon_emissions_gco2e": estimate.emissions_gco2e,
            "codecarbon_version": estimate.version,
            "codecarbon_tracking_mode": estimate.tracking_mode,
        }

    def measured(self) -> dict[str, Any]:
        """Fields of the record: all of them once the clock has stopped, before that the reasons."""
        unavailable = [*self._energy.unavailable]
        if self._codecarbon is not None and self._codecarbon.unavailable is not None:
            unavailable.append(self._codecarbon.unavailable)
        if self._no_gpu is not None:
            unavailable.append(UnavailableMeter(meter="nvml", reason=self._no_gpu))
        return {**self._measured, "unavailable_meters": unavailable}

    def probe_meter(self) -> dict[str, Any]:
        """The energy meter as the serving probe takes it."""
        return {
            "read_energy_j": self._energy.total_j,
            "energy_refresh_s": self._energy.refresh_s,
            "energy_label": self._energy.label,
            "clock": time.perf_counter,
        }

    def save_telemetry(self, folder: Path) -> None:
        """Write the sampler's rows, if the clock was ever started and stopped."""
        if self._measured:
            rows = self._sampler.rows(origin_s=self._clock.started_s)
            write_telemetry(folder / "telemetry.parquet", rows)

    def close(self) -> None:
        """Release the meters."""
        self._energy.close()
        if self._no_gpu is None:
            self._gpus.close()
