"""One NVIDIA GPU, call by call: the only module that uses pynvml.

`gpu_busy_frac` is NVML's utilization: the share of its last sample period (1/6 s to 1 s, by card)
in which any kernel ran. One thread in a loop makes it 1, so it is called busy, never utilization
of compute. Memory is what is in use on the device, by all processes.

Power is the instantaneous reading, never nvmlDeviceGetPowerUsage: from Ampere on that is a mean
over one second.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pynvml

from bench.measure.meters.base import MeterUnavailable

# (device, metric, value), as the sampler takes it.
Sample = tuple[str, str, float]
NvmlError: type[Exception] = pynvml.NVMLError
# What a device, a driver or a container does not offer; anything else is trouble.
NOT_OFFERED: tuple[type[Exception], ...] = (
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
# whose sensor sees everything, so it is recognised by the names of its cards. Source: Z. Yang,
# K. Adamek, W. Armour, "Accurate and Convenient Energy Measurements for GPUs", SC24.
_SEEN_FRAC = {
    pynvml.NVML_DEVICE_ARCH_PASCAL: 0.5,
    pynvml.NVML_DEVICE_ARCH_VOLTA: 0.5,
    pynvml.NVML_DEVICE_ARCH_HOPPER: 0.25,
}
_LEAST_SEEN_FRAC = min(_SEEN_FRAC.values())
_GA100 = re.compile(r"\b(A100|A30|A800)\b")
# Modules of an Arm processor (Grace) and GPUs. Source: ml-energy/zeus, pull request #172.
_MODULE = re.compile(r"\b(GH|GB)[2-9]00\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU of a run.

    index is NVML's, in the order of the PCI bus, which need not be CUDA's. index and uuid are None
    where they are not known: of an instance of MIG, or of a card that cannot be opened.
    """

    index: int | None
    uuid: str | None
    name: str


class Gpu:
    """One device; every call may raise NvmlError."""

    def __init__(self, index: int, handle: Any) -> None:
        """Read its name.

        Raises:
            NvmlError: The device is lost.
        """
        self.uuid = str(pynvml.nvmlDeviceGetUUID(handle))
        self.device = GpuDevice(
            index=index, uuid=self.uuid, name=str(pynvml.nvmlDeviceGetName(handle))
        )
        self.index = index
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
        """The limit that is enforced, else the one that is set; None where neither can be read."""
        with suppress(NvmlError):
            return float(pynvml.nvmlDeviceGetEnforcedPowerLimit(self._handle)) / 1e3
        with suppress(NvmlError):
            return float(pynvml.nvmlDeviceGetPowerManagementLimit(self._handle)) / 1e3
        return None

    def power_seen_frac(self) -> float:
        """The share of its power that its sensor looks at; the least where that is not known."""
        try:
            architecture = pynvml.nvmlDeviceGetArchitecture(self._handle)
        except NvmlError:
            return _LEAST_SEEN_FRAC
        if architecture == pynvml.NVML_DEVICE_ARCH_AMPERE and _GA100.search(self.device.name):
            return 0.25
        return _SEEN_FRAC.get(architecture, 1.0)

    def is_divided(self) -> bool:
        """Whether it is divided into instances of MIG; cards that do not say are not."""
        with suppress(NvmlError):
            current, _ = pynvml.nvmlDeviceGetMigMode(self._handle)
            return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)
        return False

    def busy_frac(self) -> float:
        """Share of the last sample period in which any kernel ran."""
        percent = pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
        if percent > 100:  # no percentage: whatever it is, it is not understood here
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return float(percent) / 100

    def memory_used_bytes(self) -> float:
        """Memory in use, by all processes."""
        return float(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used)

    def temperature_c(self) -> float:
        """Temperature of the chip."""
        return float(pynvml.nvmlDeviceGetTemperature(self._handle, pynvml.NVML_TEMPERATURE_GPU))

    def sm_clock_mhz(self) -> float:
        """Clock of the multiprocessors."""
        return float(pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_SM))

    def slowdowns(self) -> list[tuple[str, float]]:
        """The reasons for lowered clocks that matter here, each 1.0 or 0.0.

        At the power cap is where a card normally works under full load; heat and the power brake,
        an emergency of the supply, are not.
        """
        reasons = self._slowdown_reasons()
        thermal = bool(reasons & _THERMAL)
        brake = bool(reasons & _POWER_BRAKE) or (bool(reasons & _SLOWDOWN) and not thermal)
        return [
            ("gpu_thermal_slowdown", float(thermal)),
            ("gpu_power_brake", float(brake)),
            ("gpu_power_cap", float(bool(reasons & _POWER_CAP))),
        ]

    def _slowdown_reasons(self) -> int:
        """As a mask; older drivers know the call by another name."""
        with suppress(pynvml.NVMLError_FunctionNotFound):
            return int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
        return int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))

    def compute_pids(self) -> set[int]:
        """Processes that compute on it, by their numbers outside of any container."""
        running = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(self._handle)
        return {process.pid for process in running}


def open_library() -> list[Gpu | str]:
    """Load the library and open every card; close_library() as often as this.

    Returns:
        The cards in NVML's order; in place of one that cannot be opened, the reason.

    Raises:
        MeterUnavailable: There is no driver, or it does not say how many cards there are.
    """
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise MeterUnavailable(f"no NVIDIA driver: {error}") from error
    try:
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        close_library()
        raise MeterUnavailable(f"NVML: {error}") from error
    return [_open(index) for index in range(count)]


def _open(index: int) -> Gpu | str:
    try:
        return Gpu(index, pynvml.nvmlDeviceGetHandleByIndex(index))
    except pynvml.NVMLError as error:
        return str(error)


def close_library() -> None:
    """Release the library once; a driver that is gone has released it already."""
    with suppress(pynvml.NVMLError):
        pynvml.nvmlShutdown()


def mig_name(uuid: str) -> str | None:
    """The name of an instance of MIG; None where NVML knows none of this UUID."""
    with suppress(pynvml.NVMLError):
        return str(pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByUUID(uuid)))
    return None


def parts_in_module(name: str) -> tuple[str, ...]:
    """Parts of the machine that the energy counter of a card of this name includes.

    That of a module with a processor of its own (Grace-Hopper) holds the processor and its memory.
    """
    return ("cpu", "dram") if _MODULE.search(name) else ()
