"""Reads the GPUs of a run for the sampler: load, memory, power, clocks, and other processes.

Each query to each card stands alone: one that fails does not stop the others. Each kind of query is
a source of its own, so that the sampler reports what it costs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence

from bench.measure.gpu import (
    NOT_OFFERED,
    Gpu,
    GpuDevice,
    NotSupported,
    NvmlError,
    Sample,
    close_library,
)
from bench.measure.gpu_activity import GpuActivity
from bench.measure.gpu_settings import driver_facts
from bench.measure.meters.base import MeterUnavailable
from bench.measure.run_gpus import open_gpus
from bench.measure.sampler import Source
from bench.measure.settle import GpuScope

# Reads some metrics of one device, with their values.
Query = Callable[[], list[tuple[str, float]]]


class _Queries:
    """One kind of query, to each card that offers it."""

    def __init__(self, kind: str, failures: list[str]) -> None:
        self.kind = kind
        self.by_device: dict[str, Query] = {}
        self._failures = failures

    def __call__(self) -> list[Sample]:
        """Ask every card; one that fails is not asked again, and its reason added to failures."""
        samples: list[Sample] = []
        for device, query in list(self.by_device.items()):
            try:
                samples += [(device, metric, value) for metric, value in query()]
            except NvmlError as error:
                del self.by_device[device]
                self._failures.append(f"{device}: {error}")
        return samples


class _ForeignProcesses:
    """Counts the processes on each GPU of a run that do not belong to the run.

    In a container, NVML reports process numbers of the host, which match none of ours. So as long
    as no process of the run has been seen on any card, one process on each card is taken for it.

    Attributes:
        gpus: GPUs that list their processes.
    """

    kind = "process lists"

    def __init__(self, own_pids: Callable[[], Collection[int]], failures: list[str]) -> None:
        self.gpus: list[Gpu] = []
        self._own_pids = own_pids
        self._failures = failures
        self._own_seen = False
        # Called by the sampler's thread, and by the run's at the edges of its clock.
        self._lock = threading.Lock()

    def __call__(self) -> list[Sample]:
        """Count on each card; a card that fails is dropped and its reason added to failures."""
        with self._lock:
            return self._count()

    def _count(self) -> list[Sample]:
        own = set(self._own_pids())
        lists: dict[str, tuple[set[int], set[int]]] = {}
        for gpu in list(self.gpus):
            try:
                listed = gpu.compute_pids()
                # With MPS its server is on the card, too, and the clients are in another list.
                lists[gpu.name] = listed, gpu.mps_pids() if listed - own else set()
            except NvmlError as error:
                self.gpus.remove(gpu)
                self._failures.append(f"{gpu.name}: processes: {error}")
        self._own_seen = self._own_seen or any(own & (a | b) for a, b in lists.values())
        return [
            sample
            for name, (listed, clients) in lists.items()
            for sample in self._samples(name, listed - own, clients, own)
        ]

    def _samples(
        self, name: str, others: set[int], clients: set[int], own: set[int]
    ) -> Iterator[Sample]:
        """Of one card, on which there are other processes than the run's, and clients of MPS."""
        server = 1 if others - clients and clients else 0
        assumed = 0 if self._own_seen else 1
        num_foreign = len(others | (clients - own)) - server - assumed
        yield name, "gpu_foreign_processes", float(max(0, num_foreign))
        if clients:
            yield name, "gpu_mps_clients", float(len(clients))


class GpuReader:
    """Reads the GPUs of a run for the sampler; open() first, close() when done.

    Attributes:
        devices: The GPUs of the run, including those that cannot be read.
        driver: Versions of the driver and of its CUDA.
        scope: The GPUs that the run is charged for.
        processes: Lists the processes on the cards. That takes milliseconds and may hold up the
            driver, so call it seldom (MangoHud, pull request #2104: 4.5 ms a card).
        problems: What cannot be read, with the reasons.
        without_activity: Cards that do not tell what their parts do, with the reasons.
        failures: What failed later and is not read any more, with the reasons.
    """

    def __init__(
        self,
        *,
        own_pids: Callable[[], Collection[int]] = lambda: {os.getpid()},
        gpus: Sequence[str] | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            own_pids: Returns the processes of the run.
            gpus: UUIDs of the GPUs that the run uses; None for those that CUDA
                programs see here.
        """
        self.devices: Sequence[GpuDevice] = []
        self.driver: dict[str, str | bool | None] = {}
        # A driver says more in open(); without one, this is what is known.
        self.scope = GpuScope(
            uuids=gpus,
            names=frozenset() if gpus is not None and not gpus else None,
            num_gpus=len(gpus or ()),
        )
        self.problems: list[str] = []
        self.without_activity: list[str] = []
        self.failures: list[str] = []
        self._gpus = gpus
        self.processes = _ForeignProcesses(own_pids, self.failures)
        self._queries: dict[str, _Queries] = {}
        self._activities: list[GpuActivity] = []

    @property
    def sources(self) -> Sequence[Source]:
        """What to ask at each tick, one source for each kind of query; none before open()."""
        return list(self._queries.values())

    def open(self) -> None:
        """Find the devices, and try each query once to see what each device offers.

        Raises:
            MeterUnavailable: There is no driver, no GPU, or none of the run's that can be read.
        """
        opened = open_gpus(self._gpus)
        self.devices = opened.devices
        self.driver = driver_facts()
        names = None if self._gpus is None else frozenset(gpu.name for gpu in opened.gpus)
        self.scope = GpuScope(uuids=self._gpus, names=names, num_gpus=len(opened.devices))
        self.problems = [f"{name}: {reason}" for name, reason in opened.problems.items()]
        for gpu in opened.gpus:
            self._find_offered(gpu)
        if not self._queries and not self.processes.gpus:
            close_library()
            raise MeterUnavailable(
                "NVML: " + "; ".join(self.problems or ["no card tells anything"])
            )

    def close(self) -> None:
        """Release the library; `devices` stays, because the record is written afterwards."""
        self._queries = {}
        self.processes.gpus = []
        for activity in self._activities:
            activity.close()
        self._activities = []
        close_library()

    def _find_offered(self, gpu: Gpu) -> None:
        """Keep the queries that work on this device."""
        queries: dict[str, Query] = {
            "utilization": lambda: [("gpu_busy_frac", gpu.busy_frac())],
            "memory": lambda: [("gpu_memory_used_bytes", gpu.memory_used_bytes())],
            "power": lambda: [("gpu_power_w", gpu.power_w())],
            "module power": lambda: [("gpu_module_power_w", gpu.module_power_w())],
            "temperature": lambda: [("gpu_temperature_c", gpu.temperature_c())],
            "clock": lambda: [("gpu_sm_clock_mhz", gpu.sm_clock_mhz())],
            "slowdowns": gpu.slowdowns,
        }
        for name, query in queries.items():
            if self._works(gpu, name, query):
                self._keep(gpu, name, query)
        self._watch_activity(gpu)
        if self._works(gpu, "processes", gpu.compute_pids):
            self.processes.gpus.append(gpu)

    def _watch_activity(self, gpu: Gpu) -> None:
        """Watch what the parts of a card do, as far as it tells; it counts from now on."""
        try:
            activity = gpu.activity()
        except NvmlError as error:
            remedy = (
                " (NVML's GPM needs Hopper or newer)" if isinstance(error, NotSupported) else ""
            )
            self.without_activity.append(f"{gpu.name}: {error}{remedy}")
            return
        self._activities.append(activity)
        self._keep(gpu, "activity", activity)

    def _keep(self, gpu: Gpu, name: str, query: Query) -> None:
        kind = f"GPU {name}"
        kept = self._queries.setdefault(kind, _Queries(kind, self.failures))
        kept.by_device[gpu.name] = query

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
