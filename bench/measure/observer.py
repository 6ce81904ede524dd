"""Observes CPUs, memory, GPUs and disturbances while a window measures time and energy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from bench.core.records.energy import UnavailableMeter
from bench.core.records.health import Health, Utilization
from bench.measure.allocator import read_peaks, reset_peaks
from bench.measure.cpu_samples import CgroupSamples, CpuSamples
from bench.measure.gpu_reader import GpuReader
from bench.measure.health import health, utilization
from bench.measure.meters.base import MeterUnavailable
from bench.measure.os.cgroup import CgroupReader, CgroupReading
from bench.measure.os.cpu_use import CpuReading
from bench.measure.os.process import peak_rss_bytes
from bench.measure.os.system import CpuMeter, ProcessTree
from bench.measure.sampler import Sampler, Source, TelemetryRow
from bench.measure.settle import GpuScope

_log = logging.getLogger(__name__)

# Between two lists of the processes on a GPU, beside those at both edges of the clock.
PROCESSES_EVERY_S = 10.0


class Observer:
    """Observes from start() to conclude(); open() first, close() when done."""

    def __init__(
        self, *, period_s: float | None, gpus: Sequence[str] | None, of_children: bool = False
    ) -> None:
        """Nothing is read yet.

        Args:
            period_s: Time between the sampler's ticks; None for no sampler.
            gpus: UUIDs of the GPUs that the run uses; None for the visible ones.
            of_children: Whether memory is that of child processes only.
        """
        self._period_s = period_s
        self._of_children = of_children
        self._uses_no_gpu = gpus is not None and not gpus
        self._tree = tree = ProcessTree(of_children=of_children)
        self._cpu = CpuMeter(tree)
        self._cgroup = CgroupReader()
        self._sources: list[Source] = [
            CpuSamples(CpuMeter(tree), tree),
            CgroupSamples(self._cgroup),
        ]
        self._gpus = GpuReader(own_pids=tree.pids, gpus=gpus)
        self._has_gpus = False
        self._no_gpu: str | None = None  # why no GPU is read, if one was looked for
        self._stack = ExitStack()
        self._sampler = Sampler([])
        self._edges: list[tuple[CpuReading, CgroupReading | None]] = []
        self._peaks: dict[str, int | None] = {}

    def open_gpus(self) -> GpuScope:
        """Find the GPUs of the run; call it before meters are opened."""
        if self._uses_no_gpu:
            return self._gpus.scope
        try:
            self._gpus.open()
        except MeterUnavailable as error:
            self._no_gpu = str(error)
        else:
            self._stack.callback(self._gpus.close)
            self._sources += self._gpus.sources
            self._has_gpus = True
        return self._gpus.scope

    def open(self, chores: Sequence[tuple[float, Callable[[], None]]]) -> None:
        """Make the sampler.

        Args:
            chores: Calls that the sampler makes for others, each with its period in seconds.
        """
        if self._period_s is None:
            return
        seldom = [(PROCESSES_EVERY_S, self._gpus.processes)] if self._has_gpus else []
        self._sampler = Sampler(
            self._sources, seldom=seldom, period_s=self._period_s, chores=chores
        )

    def start(self) -> None:
        """Start the sampler."""
        if self._period_s is not None:
            self._sampler.start()

    def read_edge(self) -> None:
        """Read CPU times at the start of the clock, or at its end."""
        if not self._edges and not self._uses_no_gpu:
            reset_peaks()
        elif not self._uses_no_gpu:
            self._peaks = read_peaks()
        # With a fresh look for children: those of the set-up may have ended.
        self._edges.append((self._cpu.read(refresh=True), self._cgroup.read()))

    def list_processes(self) -> None:
        """List the processes on the GPUs; outside the clock, because that takes milliseconds."""
        if self._has_gpus and self._period_s is not None:
            self._sampler.sample_now(self._gpus.processes)

    def telemetry(self, origin_s: float) -> Sequence[TelemetryRow]:
        """The samples of the sampler, with times relative to a moment."""
        return self._sampler.rows(origin_s=origin_s)

    def conclude(
        self, *, started_s: float, total_s: float, flags: Sequence[str]
    ) -> tuple[Utilization, Health]:
        """Stop the sampler, and judge the run by its samples.

        Args:
            started_s: When the clock started.
            total_s: Length of the clock.
            flags: Flags that were raised elsewhere.
        """
        # Only gaps on the clock count; before and after it, nobody is disturbed.
        report = self._sampler.stop((started_s, started_s + total_s))
        failures = [report.failure] if report.failure else []
        failures += self._gpus.failures
        if failures:
            _log.warning("the sampler failed: %s", "; ".join(failures))
            report = replace(report, failure="; ".join(failures))
        (start, cgroup_start), (end, cgroup_end) = self._edges
        cgroup = (cgroup_start, cgroup_end) if cgroup_start and cgroup_end else None
        rows = self.telemetry(started_s)
        own_bytes = None if self._of_children else peak_rss_bytes()
        use = utilization(
            start, end, rows, total_s=total_s, own_peak_rss_bytes=own_bytes, cgroup=cgroup
        )
        judged = health(start, end, report, cgroup=cgroup, rows=rows, total_s=total_s, flags=flags)
        return replace(use, **self._peaks), judged

    def close(self) -> None:
        """Release the GPUs."""
        self._stack.close()

    @property
    def edges(self) -> Sequence[tuple[CpuReading, CgroupReading | None]]:
        """What was read at the start of the clock and at its end, as far as they have come."""
        return self._edges

    @property
    def devices(self) -> list[dict[str, Any]]:
        """The GPUs of the run."""
        return [device.facts() for device in self._gpus.devices]

    @property
    def driver(self) -> dict[str, str | bool | None]:
        """Versions of the driver of the GPUs and of its CUDA; empty without a driver."""
        return self._gpus.driver

    @property
    def gpu_indices(self) -> Sequence[int] | None:
        """NVML's numbers of the cards of the run; None if they are not known."""
        if self._no_gpu is not None and not self._gpus.devices:
            return None
        return [one.index for one in self._gpus.devices if one.index is not None]

    @property
    def unavailable(self) -> list[UnavailableMeter]:
        """Everything that could not be read, with the reasons."""
        no_gpu = self._gpus.problems if self._no_gpu is None else [self._no_gpu]
        problems = [("gpu_telemetry", problem) for problem in no_gpu]
        problems += [("gpu_activity", problem) for problem in self._gpus.without_activity]
        problems += [("cgroup", problem) for problem in self._cgroup.problems.values()]
        if self._cpu.unavailable is not None:
            problems.append(("cpu_times", self._cpu.unavailable))
        return [UnavailableMeter(meter=meter, reason=reason) for meter, reason in problems]
