"""NVIDIA GPUs as a run can see them: the only module that uses pynvml.

`gpu_busy_frac` is NVML's utilization: the share of its last sample period (1/6 s to 1 s, by card)
in which any kernel ran. One thread in a loop makes it 1, so it is called busy, never utilization
of compute. Memory is what is in use on the device, by all processes.

Power is the instantaneous reading, never nvmlDeviceGetPowerUsage: from Ampere on that is a mean
over one second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pynvml

from bench.measure.meters.base import MeterUnavailable

# (device, metric, value), as the sampler takes it.
Sample = tuple[str, str, float]
# Asks one device for some metrics and their values.
Probe = Callable[[], list[tuple[str, float]]]
NvmlError: type[Exception] = pynvml.NVMLError

# What a device, a driver or a container does not offer; anything else is trouble.
_NOT_OFFERED = (
    pynvml.NVMLError_NotSupported,
    pynvml.NVMLError_FunctionNotFound,
    pynvml.NVMLError_NoPermission,
)
# Source: NVML API reference, NvmlClocksEventReasons. A hardware slowdown is by heat or by the power
# brake; the flags of the two tell which on all cards that have them.
_THERMAL = (
    pynvml.nvmlClocksEventReasonSwThermalSlowdown | pynvml.nvmlClocksEventReasonHwThermalSlowdown
)
_SLOWDOWN = pynvml.nvmlClocksEventReasonHwSlowdown
_POWER_BRAKE = pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown
_POWER_CAP = pynvml.nvmlClocksEventReasonSwPowerCap

# Power sensors that look at 10 of 20 ms, and at 25 of 100 ms. The GA100 is an Ampere like chips
# whose sensor sees everything, so it is told by its cards. Source: Z. Yang, K. Adamek, W. Armour,
# "Accurate and Convenient Energy Measurements for GPUs", SC24.
_SEEN_FRAC = {
    pynvml.NVML_DEVICE_ARCH_PASCAL: 0.5,
    pynvml.NVML_DEVICE_ARCH_VOLTA: 0.5,
    pynvml.NVML_DEVICE_ARCH_HOPPER: 0.25,
}
_GA100 = re.compile(r"\b(A100|A30|A800)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU; index is NVML's, in the order of the PCI bus, which need not be CUDA's."""

    index: int
    uuid: str
    name: str


class Gpu:
    """One device; every call may raise NvmlError."""

    def __init__(self, index: int, handle: Any) -> None:
        """Read its name.

        Raises:
            NvmlError: The device is lost.
        """
        self.device = GpuDevice(
            index=index,
            uuid=pynvml.nvmlDeviceGetUUID(handle),
            name=pynvml.nvmlDeviceGetName(handle),
        )
        self.name = f"gpu{index}"
        self._handle = handle

    def energy_j(self) -> float:
        """Joules since the driver was loaded, in steps of a millijoule."""
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3

    def power_w(self) -> float:
        """Instantaneous power."""
        (field,) = pynvml.nvmlDeviceGetFieldValues(self._handle, [pynvml.NVML_FI_DEV_POWER_INSTANT])
        if field.nvmlReturn != pynvml.NVML_SUCCESS:
            raise pynvml.NVMLError(field.nvmlReturn)
        if field.valueType != pynvml.NVML_VALUE_TYPE_UNSIGNED_INT:
            # Not the milliwatts that NVML documents: whatever it is, it is not understood here.
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return float(field.value.uiVal) / 1e3

    def power_limit_w(self) -> float | None:
        """The limit that is enforced, else the one that is set; None where it tells neither."""
        with suppress(*_NOT_OFFERED):
            return float(pynvml.nvmlDeviceGetEnforcedPowerLimit(self._handle)) / 1e3
        with suppress(*_NOT_OFFERED):
            return float(pynvml.nvmlDeviceGetPowerManagementLimit(self._handle)) / 1e3
        return None

    def power_seen_frac(self) -> float:
        """The share of its power that its sensor looks at."""
        architecture = pynvml.nvmlDeviceGetArchitecture(self._handle)
        if architecture == pynvml.NVML_DEVICE_ARCH_AMPERE and _GA100.search(self.device.name):
            return 0.25
        return _SEEN_FRAC.get(architecture, 1.0)

    def busy_frac(self) -> float:
        """Share of the last sample period in which any kernel ran."""
        return float(pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu) / 100

    def memory_used_bytes(self) -> float:
        """Memory in use, by all processes."""
        return float(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used)

    def temperature_c(self) -> float:
        """Temperature of the chip."""
        return float(pynvml.nvmlDeviceGetTemperature(self._handle, pynvml.NVML_TEMPERATURE_GPU))

    def sm_clock_mhz(self) -> float:
        """Clock of the multiprocessors."""
        return float(pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_SM))

    def slowdown_reasons(self) -> int:
        """Why its clocks are lowered, as a mask; older drivers know the call by another name."""
        with suppress(pynvml.NVMLError_FunctionNotFound):
            return int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
        return int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))

    def compute_pids(self) -> set[int]:
        """Processes that compute on it, by their numbers outside of any container."""
        running = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(self._handle)
        return {process.pid for process in running}


def open_gpus(visible: str | None) -> list[Gpu]:
    """Load the library and find the visible devices; close_gpus() as often as this.

    Args:
        visible: The value of CUDA_VISIBLE_DEVICES, None where it is not set. Numbers are taken as
            NVML's: with cards of several models set CUDA_DEVICE_ORDER=PCI_BUS_ID.

    Raises:
        MeterUnavailable: There is no driver, no GPU, or none that is visible.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise MeterUnavailable(f"no NVIDIA driver: {error}") from error
    try:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
        uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
        chosen = visible_indices(visible, uuids)
        if not chosen:
            raise MeterUnavailable(
                f"none of {len(handles)} GPUs is visible: CUDA_VISIBLE_DEVICES={visible}"
            )
        return [Gpu(index, handles[index]) for index in chosen]
    except pynvml.NVMLError as error:
        close_gpus()
        raise MeterUnavailable(f"NVML: {error}") from error
    except MeterUnavailable:
        close_gpus()
        raise


def close_gpus() -> None:
    """Release the library once; a driver that is gone has released it already."""
    with suppress(pynvml.NVMLError):
        pynvml.nvmlShutdown()


class GpuReader:
    """What the sampler watches of the visible GPUs; open() first, close() when done."""

    def __init__(
        self,
        visible: str | None = None,
        *,
        own_pids: Callable[[], Collection[int]] = lambda: {os.getpid()},
    ) -> None:
        """Nothing is read yet.

        Args:
            visible: The value of CUDA_VISIBLE_DEVICES, None where it is not set.
            own_pids: The processes of the run.
        """
        self.devices: list[GpuDevice] = []
        self._visible = visible
        self._own_pids = own_pids
        self._probes: list[tuple[str, Probe]] = []

    def open(self) -> None:
        """Find the devices, and what each of them tells: by a real read.

        Raises:
            MeterUnavailable: There is no driver, no GPU, or none that is visible.
        """
        gpus = open_gpus(self._visible)
        try:
            self._probes = [(gpu.name, probe) for gpu in gpus for probe in self._offered(gpu)]
        except pynvml.NVMLError as error:
            self.close()
            raise MeterUnavailable(f"NVML: {error}") from error
        self.devices = [gpu.device for gpu in gpus]

    def samples(self) -> list[Sample]:
        """What each device tells now; what it does not tell is left out.

        Raises:
            NvmlError: A device was lost.
        """
        return [(name, metric, value) for name, probe in self._probes for metric, value in probe()]

    def close(self) -> None:
        """Release the library; `devices` stays, for the record that is put together afterwards."""
        self._probes = []
        close_gpus()

    def _offered(self, gpu: Gpu) -> list[Probe]:
        """The probes that work on this device."""
        probes: list[Probe] = [
            lambda: [("gpu_busy_frac", gpu.busy_frac())],
            lambda: [("gpu_memory_used_bytes", gpu.memory_used_bytes())],
            lambda: [("gpu_power_w", gpu.power_w())],
            lambda: [("gpu_temperature_c", gpu.temperature_c())],
            lambda: [("gpu_sm_clock_mhz", gpu.sm_clock_mhz())],
            lambda: _slowdowns(gpu.slowdown_reasons()),
            lambda: [("gpu_foreign_processes", self._num_foreign(gpu.compute_pids()))],
        ]
        offered: list[Probe] = []
        for probe in probes:
            with suppress(*_NOT_OFFERED):
                probe()
                offered.append(probe)
        return offered

    def _num_foreign(self, pids: set[int]) -> float:
        """Processes on the device that are not the run's.

        Inside a container NVML's numbers are those of the host and match none of ours; one of them
        is taken for ours then.
        """
        if not pids:
            return 0.0
        return float(len(pids) - max(1, len(pids.intersection(self._own_pids()))))


def _slowdowns(reasons: int) -> list[tuple[str, float]]:
    """The reasons that matter here, each 1.0 or 0.0.

    At the power cap is where a card normally works under full load; heat and the power brake, an
    emergency of the supply, are not.
    """
    thermal = bool(reasons & _THERMAL)
    brake = bool(reasons & _POWER_BRAKE) or (bool(reasons & _SLOWDOWN) and not thermal)
    return [
        ("gpu_thermal_slowdown", float(thermal)),
        ("gpu_power_brake", float(brake)),
        ("gpu_power_cap", float(bool(reasons & _POWER_CAP))),
    ]


def visible_indices(visible: str | None, uuids: list[str]) -> list[int]:
    """Indices that CUDA_VISIBLE_DEVICES allows, by number or by the beginning of a UUID.

    As in CUDA, what follows the first entry that names no device does not count.

    Source: CUDA C++ programming guide, "CUDA environment variables".
    """
    if visible is None:
        return list(range(len(uuids)))
    chosen: list[int] = []
    for entry in (part.strip() for part in visible.split(",")):
        if entry.isdigit():
            matches = [int(entry)] if int(entry) < len(uuids) else []
        else:
            matches = [i for i, uuid in enumerate(uuids) if entry and uuid.startswith(entry)]
        if len(matches) != 1 or matches[0] in chosen:
            break
        chosen += matches
    return chosen
