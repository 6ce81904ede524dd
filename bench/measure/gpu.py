"""Reads one NVIDIA GPU, call by call; only this module and its neighbours gpu_*.py use pynvml.

`gpu_busy_frac` is NVML's utilization: the share of its last sample period (1/6 s to 1 s, depending
on the card) in which any kernel ran. A single thread in a loop makes it 1, so it is called busy and
not utilization. Memory is what all processes use on the device.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pynvml

from bench.measure.gpu_activity import GpuActivity
from bench.measure.gpu_power import (
    GPU_SCOPE,
    MODULE_SCOPE,
    power_seen_frac,
    read_power_limit_w,
    read_power_w,
)
from bench.measure.gpu_settings import GpuSettings, read_settings
from bench.measure.meters.base import MeterUnavailable

# (device, metric, value), as the sampler takes it.
Sample = tuple[str, str, float]
ChosenBy = Literal["uuid", "visible", "cuda"]
NvmlError: type[Exception] = pynvml.NVMLError
NotPermitted: type[Exception] = pynvml.NVMLError_NoPermission
NotSupported: type[Exception] = pynvml.NVMLError_NotSupported
# A device, a driver or a container does not offer the value; any other error is a fault.
NOT_OFFERED: tuple[type[Exception], ...] = (
    NotSupported,
    pynvml.NVMLError_FunctionNotFound,
    NotPermitted,
)

# Source: NVML API reference, NvmlClocksEventReasons. Heat or the power brake causes a hardware
# slowdown; cards that have flags for the two say which.
_THERMAL = (
    pynvml.nvmlClocksEventReasonSwThermalSlowdown | pynvml.nvmlClocksEventReasonHwThermalSlowdown
)
_SLOWDOWN = pynvml.nvmlClocksEventReasonHwSlowdown
_POWER_BRAKE = pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown
_POWER_CAP = pynvml.nvmlClocksEventReasonSwPowerCap


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU of a run.

    Attributes:
        index: NVML's index, in the order of the PCI bus; it need not be CUDA's. None if unknown:
            for an instance of MIG, or a card that cannot be opened.
        uuid: Its UUID; None if unknown.
        name: Its name.
        settings: How it is set up.
        chosen_by: How it was found: the run named its "uuid", it is "visible" to CUDA programs by
            the rules of CUDA_VISIBLE_DEVICES, or "cuda" was asked for the order of its devices.
    """

    index: int | None
    uuid: str | None
    name: str
    settings: GpuSettings = field(default_factory=GpuSettings)
    chosen_by: ChosenBy = "uuid"

    def facts(self) -> dict[str, Any]:
        """What `host.gpus` of a record has of it."""
        facts = asdict(self)
        return {**{k: v for k, v in facts.items() if k != "settings"}, **facts["settings"]}


@dataclass(frozen=True, slots=True)
class MigInstance:
    """A part of a card that MIG has divided: its name, and its numbers of GPU and compute instance.

    Attributes:
        uuid: Its UUID, with the prefix "MIG-".
        name: Its name.
        numbers: Of the GPU instance, and of the compute instance in it.
    """

    uuid: str
    name: str
    numbers: tuple[int, int]


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

    def settings(self) -> GpuSettings:
        """How it is set up now."""
        return read_settings(self._handle)

    def activity(self) -> GpuActivity:
        """Begin to watch its multiprocessors and its memory; close it before the library."""
        return GpuActivity(self._handle)

    def energy_j(self) -> float:
        """Joules since the driver was loaded, in steps of a millijoule."""
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3

    def power_w(self) -> float:
        """Instantaneous power of the card."""
        return read_power_w(self._handle, GPU_SCOPE)

    def module_power_w(self) -> float:
        """Instantaneous power of its module, with the processor; other cards do not offer it."""
        return read_power_w(self._handle, MODULE_SCOPE)

    def module_power_limit_w(self) -> float | None:
        """The power limit of its module; None if that is not readable."""
        with suppress(NvmlError):
            return read_power_limit_w(self._handle, MODULE_SCOPE)
        return None

    def power_limit_w(self) -> float | None:
        """The enforced power limit, or else the configured one; None if neither is readable."""
        with suppress(NvmlError):
            return float(pynvml.nvmlDeviceGetEnforcedPowerLimit(self._handle)) / 1e3
        with suppress(NvmlError):
            return float(pynvml.nvmlDeviceGetPowerManagementLimit(self._handle)) / 1e3
        return None

    def configured_limit_w(self) -> float:
        """The configured power limit, which can be set; the enforced one may be lower."""
        return float(pynvml.nvmlDeviceGetPowerManagementLimit(self._handle)) / 1e3

    def power_limit_range_w(self) -> tuple[float, float]:
        """The smallest and the largest power limit that the card takes."""
        low, high = pynvml.nvmlDeviceGetPowerManagementLimitConstraints(self._handle)
        return low / 1e3, high / 1e3

    def limit_power(self, limit_w: float) -> None:
        """Set the power limit, which only root may do."""
        pynvml.nvmlDeviceSetPowerManagementLimit(self._handle, round(limit_w * 1e3))

    def clocks_mhz(self) -> list[int]:
        """The graphics clocks that the card takes at its highest memory clock."""
        memory_mhz = max(pynvml.nvmlDeviceGetSupportedMemoryClocks(self._handle), default=0)
        return sorted(pynvml.nvmlDeviceGetSupportedGraphicsClocks(self._handle, memory_mhz))

    def lock_clock(self, clock_mhz: int) -> None:
        """Keep the graphics clock at this value, which only root may do."""
        pynvml.nvmlDeviceSetGpuLockedClocks(self._handle, clock_mhz, clock_mhz)

    def unlock_clock(self) -> None:
        """Let the card choose its graphics clock again."""
        pynvml.nvmlDeviceResetGpuLockedClocks(self._handle)

    def power_seen_frac(self) -> float:
        """The share of the time in which its power sensor looks; the least if that is unknown."""
        return power_seen_frac(self._handle, self.device.name)

    def is_divided(self) -> bool:
        """Whether it is divided into instances of MIG; a card that does not say is not."""
        with suppress(NvmlError):
            current, _ = pynvml.nvmlDeviceGetMigMode(self._handle)
            return bool(current == pynvml.NVML_DEVICE_MIG_ENABLE)
        return False

    def instances(self) -> list[MigInstance]:
        """The instances into which MIG has divided it; none if they cannot be listed."""
        found: list[MigInstance] = []
        with suppress(NvmlError):
            for place in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(self._handle)):
                with suppress(pynvml.NVMLError_NotFound):  # a place without an instance
                    handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(self._handle, place)
                    found.append(_instance(handle))
        return found

    def busy_frac(self) -> float:
        """Share of the last sample period in which any kernel ran."""
        percent = pynvml.nvmlDeviceGetUtilizationRates(self._handle).gpu
        if percent > 100:  # not a percentage, so it is not understood here
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return float(percent) / 100

    def memory_used_bytes(self) -> float:
        """Memory that all processes use."""
        return float(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used)

    def temperature_c(self) -> float:
        """Temperature of the chip."""
        return float(pynvml.nvmlDeviceGetTemperature(self._handle, pynvml.NVML_TEMPERATURE_GPU))

    def sm_clock_mhz(self) -> float:
        """Clock of the multiprocessors."""
        return float(pynvml.nvmlDeviceGetClockInfo(self._handle, pynvml.NVML_CLOCK_SM))

    def slowdowns(self) -> list[tuple[str, float]]:
        """The reasons for lowered clocks that matter here, each 1.0 or 0.0.

        The power cap is normal under full load. Heat, and the power brake (an emergency of the
        power supply), are not.
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
        """Read the mask of reasons; older drivers have another name for the call."""
        with suppress(pynvml.NVMLError_FunctionNotFound):
            return int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
        return int(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))

    def compute_pids(self) -> set[int]:
        """Processes that compute on the card, by their numbers outside of any container."""
        running = pynvml.nvmlDeviceGetComputeRunningProcesses_v3(self._handle)
        return {process.pid for process in running}

    def mps_pids(self) -> set[int]:
        """Clients of the multi-process service (MPS) on the card; none if it does not list them."""
        with suppress(*NOT_OFFERED):
            running = pynvml.nvmlDeviceGetMPSComputeRunningProcesses_v3(self._handle)
            return {process.pid for process in running}
        return set()


def open_library() -> list[Gpu | str]:
    """Load the library and open every card; each call needs one close_library().

    Returns:
        The cards in NVML's order, with the reason in the place of a card that cannot be opened.

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
    """Release the library once; an error means that the driver is gone and has released it."""
    with suppress(pynvml.NVMLError):
        pynvml.nvmlShutdown()


def _instance(handle: Any) -> MigInstance:
    return MigInstance(
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        name=str(pynvml.nvmlDeviceGetName(handle)),
        numbers=(
            int(pynvml.nvmlDeviceGetGpuInstanceId(handle)),
            int(pynvml.nvmlDeviceGetComputeInstanceId(handle)),
        ),
    )
