"""Reads the GPUs of a run for the sampler: load, memory, power, clocks, and other processes.

Each query to each card stands alone: one that fails does not stop the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence

from bench.measure.gpu import NOT_OFFERED, Gpu, GpuDevice, NvmlError, Sample, close_library
from bench.measure.meters.base import MeterUnavailable
from bench.measure.run_gpus import open_gpus
from bench.measure.settle import GpuScope

# Reads some metrics of one device, with their values.
Query = Callable[[], list[tuple[str, float]]]


class _ForeignProcesses:
    """Counts the processes on each GPU of a run that do not belong to the run.

    In a container, NVML reports process numbers of the host, which match none of ours. So as long
    as no process of the run has been seen on any card, one process on each card is taken for it.

    Attributes:
        gpus: GPUs that list their processes.
    """

    def __init__(self, own_pids: Callable[[], Collection[int]]) -> None:
        self.gpus: list[Gpu] = []
        self._own_pids = own_pids
        self._own_seen = False

    def samples(self, failures: list[str]) -> list[Sample]:
        """Count on each card; a card that fails is dropped and its reason added to failures."""
        pids: dict[str, set[int]] = {}
        for gpu in list(self.gpus):
            try:
                pids[gpu.name] = gpu.compute_pids()
            except NvmlError as error:
                self.gpus.remove(gpu)
                failures.append(f"{gpu.name}: processes: {error}")
        own = set(self._own_pids()) if any(pids.values()) else set()
        self._own_seen = self._own_seen or any(own & seen for seen in pids.values())
        assumed = 0 if self._own_seen else 1
        return [
            (name, "gpu_foreign_processes", float(max(0, len(seen - own) - assumed)))
            for name, seen in pids.items()
        ]


class GpuReader:
    """Reads the GPUs of a run for the sampler; open() first, close() when done.

    Attributes:
        devices: The GPUs of the run, including those that cannot be read.
        scope: The GPUs that the run is charged for.
        problems: What cannot be read, with the reasons.
        failures: What failed later and is not read any more, with the reasons.
    """

    def __init__(
        self,
        visible: str | None = None,
        *,
        own_pids: Callable[[], Collection[int]] = lambda: {os.getpid()},
        gpus: Sequence[str] | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            visible: The value of CUDA_VISIBLE_DEVICES; None if it is not set.
            own_pids: Returns the processes of the run.
            gpus: UUIDs of the GPUs that the run uses; None for the visible ones.
        """
        self.devices: Sequence[GpuDevice] = []
        # A driver says more in open(); without one, this is what is known.
        self.scope = GpuScope(
            uuids=gpus,
            names=frozenset() if gpus is not None and not gpus else None,
            num_gpus=len(gpus or ()),
        )
        self.problems: list[str] = []
        self.failures: list[str] = []
        self._visible = visible
        self._gpus = gpus
        self._foreign = _ForeignProcesses(own_pids)
        self._queries: list[tuple[str, Query]] = []

    def open(self) -> None:
        """Find the devices, and try each query once to see what each device offers.

        Raises:
            MeterUnavailable: There is no driver, no GPU, or none of the run's that can be read.
        """
        opened = open_gpus(self._visible, self._gpus)
        self.devices = opened.devices
        names = None if self._gpus is None else frozenset(gpu.name for gpu in opened.gpus)
        self.scope = GpuScope(uuids=self._gpus, names=names, num_gpus=len(opened.devices))
        self.problems = [f"{name}: {reason}" for name, reason in opened.problems.items()]
        for gpu in opened.gpus:
            self._queries += [(gpu.name, query) for query in self._offered(gpu)]
        if not self._queries and not self._foreign.gpus:
            close_library()
            raise MeterUnavailable(
                "NVML: " + "; ".join(self.problems or ["no card tells anything"])
            )

    def samples(self) -> list[Sample]:
        """Read all devices; values that a device does not offer are left out.

        A query that fails is not asked again, and its reason is added to `failures`.

        Raises:
            NvmlError: Nothing can be read any more.
        """
        samples: list[Sample] = []
        last_error: Exception | None = None
        for device, query in list(self._queries):
            try:
                samples += [(device, metric, value) for metric, value in query()]
            except NvmlError as error:
                last_error = error
                self._queries.remove((device, query))
                self.failures.append(f"{device}: {error}")
        samples += self._foreign.samples(self.failures)
        if last_error is not None and not self._queries:
            raise last_error
        return samples

    def close(self) -> None:
        """Release the library; `devices` stays, because the record is written afterwards."""
        self._queries = []
        self._foreign.gpus = []
        close_library()

    def _offered(self, gpu: Gpu) -> list[Query]:
        """The queries that work on this device."""
        queries: dict[str, Query] = {
            "utilization": lambda: [("gpu_busy_frac", gpu.busy_frac())],
            "memory": lambda: [("gpu_memory_used_bytes", gpu.memory_used_bytes())],
            "power": lambda: [("gpu_power_w", gpu.power_w())],
            "temperature": lambda: [("gpu_temperature_c", gpu.temperature_c())],
            "clock": lambda: [("gpu_sm_clock_mhz", gpu.sm_clock_mhz())],
            "slowdowns": gpu.slowdowns,
        }
        works = [query for name, query in queries.items() if self._works(gpu, name, query)]
        if self._works(gpu, "processes", gpu.compute_pids):
            self._foreign.gpus.append(gpu)
        return works

    def _works(self, gpu: Gpu, name: str, call: Callable[[], object]) -> bool:
        """Whether a call works; an error is kept unless the device does not offer the value."""
        try:
            call()
        except NOT_OFFERED:
            return False
        except NvmlError as error:
            self.problems.append(f"{gpu.name}: {name}: {error}")
            return False
        return True
