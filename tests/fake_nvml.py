"""A pure Python library under the real pynvml: C names, C return codes, output by reference."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pynvml
import pytest

SUCCESS = int(pynvml.NVML_SUCCESS)
_PLACE = 1000
NOT_SUPPORTED = int(pynvml.NVML_ERROR_NOT_SUPPORTED)


@dataclass
class FakeInstance:
    """An instance of MIG."""

    uuid: str
    name: str
    gpu_instance: int
    compute_instance: int = 0


@dataclass
class FakeGpu:
    """One card; what is None it does not tell, and `codes` are what calls return instead of 0."""

    uuid: str
    name: str = "Fake RTX"
    architecture: int = pynvml.NVML_DEVICE_ARCH_ADA
    busy_pct: int | None = 50
    used_bytes: int = 1 << 30
    energy_j: Callable[[], float] | None = None
    power_w: Callable[[], float] | None = None
    module_w: Callable[[], float] | None = None
    module_limit_w: float | None = None
    averaged_w: Callable[[], float] | None = None
    power_type: int = pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
    limit_w: float | None = None
    clocks_mhz: Sequence[int] | None = None
    locked_mhz: tuple[int, int] | None = None
    temperature_c: int | None = None
    sm_clock_mhz: int | None = None
    reasons: int | None = None
    pids: Sequence[int] | None = None
    mps_pids: Sequence[int] | None = None
    mig_enabled: bool | None = None
    total_bytes: int | None = None
    default_limit_w: float | None = None
    limit_range_w: tuple[float, float] | None = None
    app_clock_mhz: int | None = None
    default_app_clock_mhz: int | None = None
    max_clock_mhz: int | None = None
    ecc_enabled: bool | None = None
    persistence: bool | None = None
    vbios: str | None = None
    # Totals of GPM since the driver was loaded: seconds under 0, and by metric the seconds in which
    # a part was active. None before Hopper.
    gpm: Callable[[], Mapping[int, float]] | None = None
    instances: Sequence[FakeInstance | None] = ()
    codes: dict[str, int] = field(default_factory=dict)
    lost: bool = False


@dataclass
class FakeNvml:
    """What pynvml takes for the shared library.

    Handles are index + 1, as null is no handle. For an instance of MIG it is added to the place of
    the instance on its card + 1, times _PLACE.
    """

    gpus: list[FakeGpu]
    init_code: int = SUCCESS
    driver: str | None = None
    cuda: int | None = None
    is_root: bool = True
    is_confidential: bool | None = None
    num_open: int = field(default=0)
    gpm_samples: dict[int, Mapping[int, float]] = field(default_factory=dict)

    def nvmlInitWithFlags(self, flags: int) -> int:  # noqa: N802
        self.num_open += self.init_code == SUCCESS
        return self.init_code

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.num_open -= 1
        return SUCCESS

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.gpus)
        return SUCCESS

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802
        number = index if isinstance(index, int) else index.value
        if code := self.gpus[number].codes.get("handle", SUCCESS):
            return code
        address = ctypes.cast(ctypes.byref(handle._obj), ctypes.POINTER(ctypes.c_void_p))
        address[0] = number + 1
        return SUCCESS

    def nvmlDeviceGetUUID(self, handle: Any, buffer: Any, length: Any) -> int:  # noqa: N802
        buffer.value = (self._instance(handle) or self._gpu(handle)).uuid.encode()
        return SUCCESS

    def nvmlDeviceGetName(self, handle: Any, buffer: Any, length: Any) -> int:  # noqa: N802
        buffer.value = (self._instance(handle) or self._gpu(handle)).name.encode()
        return SUCCESS

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Any, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self._gpu(handle).instances)
        return SUCCESS

    def nvmlDeviceGetMigDeviceHandleByIndex(  # noqa: N802
        self, handle: Any, place: Any, instance: Any
    ) -> int:
        if self._gpu(handle).instances[place.value] is None:
            return int(pynvml.NVML_ERROR_NOT_FOUND)
        address = ctypes.cast(ctypes.byref(instance._obj), ctypes.POINTER(ctypes.c_void_p))
        address[0] = self._number(handle) + (place.value + 1) * _PLACE
        return SUCCESS

    def nvmlDeviceGetGpuInstanceId(self, handle: Any, number: Any) -> int:  # noqa: N802
        instance = self._instance(handle)
        assert instance is not None
        number._obj.value = instance.gpu_instance
        return SUCCESS

    def nvmlDeviceGetComputeInstanceId(self, handle: Any, number: Any) -> int:  # noqa: N802
        instance = self._instance(handle)
        assert instance is not None
        number._obj.value = instance.compute_instance
        return SUCCESS

    def nvmlDeviceGetArchitecture(self, handle: Any, architecture: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        return self._put(gpu, "architecture", architecture._obj, "value", gpu.architecture)

    def nvmlDeviceGetMigMode(self, handle: Any, current: Any, pending: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        return self._put(gpu, "mig mode", current._obj, "value", gpu.mig_enabled)

    def nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        return self._put(gpu, "busy", rates._obj, "gpu", gpu.busy_pct)

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        memory._obj.total = gpu.total_bytes or 0
        return self._put(gpu, "memory", memory._obj, "used", gpu.used_bytes)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, energy: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        energy_mj = None if gpu.energy_j is None else int(gpu.energy_j() * 1e3)
        return self._put(gpu, "energy", energy._obj, "value", energy_mj)

    def nvmlDeviceGetFieldValues(self, handle: Any, count: Any, values: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        if gpu.lost:
            return int(pynvml.NVML_ERROR_GPU_IS_LOST)
        for value in values._obj[: count.value]:
            watts = self._field_w(gpu, value.fieldId, value.scopeId)
            power_mw = None if watts is None else round(watts * 1e3)
            scope = "" if value.scopeId == pynvml.NVML_POWER_SCOPE_GPU else "module "
            value.nvmlReturn = self._put(gpu, f"{scope}power", value.value, "uiVal", power_mw)
            value.valueType = gpu.power_type
        return SUCCESS

    @staticmethod
    def _field_w(gpu: FakeGpu, name: int, scope: int) -> float | None:
        """Of the card, and of the module that it may be part of."""
        card, module = pynvml.NVML_POWER_SCOPE_GPU, pynvml.NVML_POWER_SCOPE_MODULE
        if name == pynvml.NVML_FI_DEV_POWER_CURRENT_LIMIT:
            return {card: gpu.limit_w, module: gpu.module_limit_w}[scope]
        assert name == pynvml.NVML_FI_DEV_POWER_INSTANT
        read = {card: gpu.power_w, module: gpu.module_w}[scope]
        return None if read is None else read()

    def nvmlDeviceGetPowerUsage(self, handle: Any, power: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        averaged_mw = None if gpu.averaged_w is None else round(gpu.averaged_w() * 1e3)
        return self._put(gpu, "averaged", power._obj, "value", averaged_mw)

    def nvmlDeviceGetComputeMode(self, handle: Any, mode: Any) -> int:  # noqa: N802
        return self._put(self._gpu(handle), "mode", mode._obj, "value", 0)

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Any, limit: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        limit_mw = None if gpu.limit_w is None else round(gpu.limit_w * 1e3)
        return self._put(gpu, "limit", limit._obj, "value", limit_mw)

    def nvmlDeviceGetPowerManagementLimit(self, handle: Any, limit: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        limit_mw = None if gpu.limit_w is None else round(gpu.limit_w * 1e3)
        return self._put(gpu, "set limit", limit._obj, "value", limit_mw)

    def nvmlDeviceSetPowerManagementLimit(self, handle: Any, limit: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        low_w, high_w = gpu.limit_range_w or (0.0, math.inf)
        if code := self._refusal(gpu, offered=gpu.limit_w is not None):
            return code
        if not low_w <= limit.value / 1e3 <= high_w:
            return int(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        gpu.limit_w = limit.value / 1e3
        return SUCCESS

    def nvmlDeviceGetSupportedMemoryClocks(  # noqa: N802
        self, handle: Any, count: Any, clocks: Any
    ) -> int:
        gpu = self._gpu(handle)
        return self._list([810, 9501] if gpu.clocks_mhz is not None else None, count, clocks)

    def nvmlDeviceGetSupportedGraphicsClocks(  # noqa: N802
        self, handle: Any, memory: Any, count: Any, clocks: Any
    ) -> int:
        assert memory.value == 9501
        return self._list(self._gpu(handle).clocks_mhz, count, clocks)

    def nvmlDeviceSetGpuLockedClocks(self, handle: Any, low: Any, high: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        if code := self._refusal(gpu, offered=True):
            return code
        gpu.locked_mhz = (low.value, high.value)
        return SUCCESS

    def nvmlDeviceResetGpuLockedClocks(self, handle: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        if code := self._refusal(gpu, offered=True):
            return code
        gpu.locked_mhz = None
        return SUCCESS

    def nvmlDeviceGetTemperature(self, handle: Any, sensor: Any, value: Any) -> int:  # noqa: N802
        assert sensor.value == pynvml.NVML_TEMPERATURE_GPU
        gpu = self._gpu(handle)
        return self._put(gpu, "temperature", value._obj, "value", gpu.temperature_c)

    def nvmlDeviceGetClockInfo(self, handle: Any, clock: Any, value: Any) -> int:  # noqa: N802
        assert clock.value == pynvml.NVML_CLOCK_SM
        gpu = self._gpu(handle)
        return self._put(gpu, "clock", value._obj, "value", gpu.sm_clock_mhz)

    def nvmlDeviceGetCurrentClocksEventReasons(  # noqa: N802
        self, handle: Any, reasons: Any
    ) -> int:
        gpu = self._gpu(handle)
        return self._put(gpu, "reasons", reasons._obj, "value", gpu.reasons)

    def nvmlDeviceGetComputeRunningProcesses_v3(  # noqa: N802
        self, handle: Any, count: Any, processes: Any
    ) -> int:
        gpu = self._gpu(handle)
        return self._processes(gpu, "processes", gpu.pids, count, processes)

    def nvmlDeviceGetMPSComputeRunningProcesses_v3(  # noqa: N802
        self, handle: Any, count: Any, processes: Any
    ) -> int:
        gpu = self._gpu(handle)
        return self._processes(gpu, "mps", gpu.mps_pids, count, processes)

    @staticmethod
    def _processes(
        gpu: FakeGpu, call: str, pids: Sequence[int] | None, count: Any, processes: Any
    ) -> int:
        if gpu.lost:
            return int(pynvml.NVML_ERROR_GPU_IS_LOST)
        if pids is None:
            return NOT_SUPPORTED
        if code := gpu.codes.get(call, SUCCESS):
            return code
        room, count._obj.value = count._obj.value, len(pids)
        if room < len(pids):
            return int(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
        for i, pid in enumerate(pids):
            processes[i].pid = pid
        return SUCCESS

    def nvmlSystemGetConfComputeState(self, state: Any) -> int:  # noqa: N802
        if self.is_confidential is None:
            return NOT_SUPPORTED
        state._obj.ccFeature = int(self.is_confidential)
        return SUCCESS

    def nvmlSystemGetDriverVersion(self, buffer: Any, length: Any) -> int:  # noqa: N802
        return self._text(buffer, self.driver)

    def nvmlSystemGetCudaDriverVersion_v2(self, version: Any) -> int:  # noqa: N802
        version._obj.value = self.cuda or 0
        return NOT_SUPPORTED if self.cuda is None else SUCCESS

    def nvmlDeviceGetPowerManagementDefaultLimit(  # noqa: N802
        self, handle: Any, limit: Any
    ) -> int:
        gpu = self._gpu(handle)
        limit_mw = None if gpu.default_limit_w is None else round(gpu.default_limit_w * 1e3)
        return self._put(gpu, "default limit", limit._obj, "value", limit_mw)

    def nvmlDeviceGetPowerManagementLimitConstraints(  # noqa: N802
        self, handle: Any, lowest: Any, highest: Any
    ) -> int:
        gpu = self._gpu(handle)
        low_w, high_w = gpu.limit_range_w or (0.0, 0.0)
        highest._obj.value = round(high_w * 1e3)
        low_mw = None if gpu.limit_range_w is None else round(low_w * 1e3)
        return self._put(gpu, "limits", lowest._obj, "value", low_mw)

    def nvmlDeviceGetApplicationsClock(  # noqa: N802
        self, handle: Any, clock: Any, value: Any
    ) -> int:
        return self._graphics_clock(handle, clock, value, "app_clock_mhz")

    def nvmlDeviceGetDefaultApplicationsClock(  # noqa: N802
        self, handle: Any, clock: Any, value: Any
    ) -> int:
        return self._graphics_clock(handle, clock, value, "default_app_clock_mhz")

    def nvmlDeviceGetMaxClockInfo(self, handle: Any, clock: Any, value: Any) -> int:  # noqa: N802
        return self._graphics_clock(handle, clock, value, "max_clock_mhz")

    def nvmlDeviceGetEccMode(self, handle: Any, current: Any, pending: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        return self._put(gpu, "ecc", current._obj, "value", gpu.ecc_enabled)

    def nvmlDeviceGetPersistenceMode(self, handle: Any, mode: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        return self._put(gpu, "persistence", mode._obj, "value", gpu.persistence)

    def nvmlDeviceGetVbiosVersion(self, handle: Any, buffer: Any, length: Any) -> int:  # noqa: N802
        return self._text(buffer, self._gpu(handle).vbios)

    def nvmlGpmQueryDeviceSupport(self, handle: Any, support: Any) -> int:  # noqa: N802
        assert support._obj.version == pynvml.NVML_GPM_SUPPORT_VERSION
        gpu = self._gpu(handle)
        return self._put(gpu, "gpm", support._obj, "isSupportedDevice", int(gpu.gpm is not None))

    def nvmlGpmSampleAlloc(self, sample: Any) -> int:  # noqa: N802
        number = max(self.gpm_samples, default=0) + 1
        self.gpm_samples[number] = {}
        ctypes.cast(ctypes.byref(sample._obj), ctypes.POINTER(ctypes.c_void_p))[0] = number
        return SUCCESS

    def nvmlGpmSampleFree(self, sample: Any) -> int:  # noqa: N802
        del self.gpm_samples[self._number(sample)]
        return SUCCESS

    def nvmlGpmSampleGet(self, handle: Any, sample: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        if gpu.lost or gpu.gpm is None:
            return int(pynvml.NVML_ERROR_GPU_IS_LOST) if gpu.lost else NOT_SUPPORTED
        self.gpm_samples[self._number(sample)] = gpu.gpm()
        return gpu.codes.get("gpm sample", SUCCESS)

    def nvmlGpmMetricsGet(self, asked: Any) -> int:  # noqa: N802
        """The change from the first sample to the second, per second, in percent."""
        asked = asked._obj
        assert asked.version == pynvml.NVML_GPM_METRICS_GET_VERSION
        one, two = (self.gpm_samples[self._number(s)] for s in (asked.sample1, asked.sample2))
        for metric in asked.metrics[: asked.numMetrics]:
            key = metric.metricId
            metric.nvmlReturn = SUCCESS if key in two else NOT_SUPPORTED
            if key in two:
                metric.value = 100 * (two[key] - one[key]) / (two[0] - one[0])
        return SUCCESS

    @staticmethod
    def _number(pointer: Any) -> int:
        number = ctypes.cast(pointer, ctypes.c_void_p).value
        assert number is not None
        return number

    def nvmlErrorString(self, code: int) -> bytes:  # noqa: N802
        return f"code {code}".encode()

    def _gpu(self, handle: Any) -> FakeGpu:
        return self.gpus[self._number(handle) % _PLACE - 1]

    def _instance(self, handle: Any) -> FakeInstance | None:
        place = self._number(handle) // _PLACE
        return self._gpu(handle).instances[place - 1] if place else None

    def _graphics_clock(self, handle: Any, clock: Any, value: Any, name: str) -> int:
        assert clock.value == pynvml.NVML_CLOCK_GRAPHICS
        gpu = self._gpu(handle)
        return self._put(gpu, name, value._obj, "value", getattr(gpu, name))

    @staticmethod
    def _text(buffer: Any, text: str | None) -> int:
        buffer.value = (text or "").encode()
        return NOT_SUPPORTED if text is None else SUCCESS

    def _refusal(self, gpu: FakeGpu, *, offered: bool) -> int:
        """Why a card cannot be set; 0 if it can."""
        if gpu.lost:
            return int(pynvml.NVML_ERROR_GPU_IS_LOST)
        if not offered:
            return NOT_SUPPORTED
        return gpu.codes.get(
            "set", SUCCESS if self.is_root else int(pynvml.NVML_ERROR_NO_PERMISSION)
        )

    @staticmethod
    def _list(values: Sequence[int] | None, count: Any, items: Any) -> int:
        """Hand a list over, or say how long it is."""
        if values is None:
            return NOT_SUPPORTED
        room, count._obj.value = count._obj.value, len(values)
        if room < len(values):
            return int(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
        for i, value in enumerate(values):
            items[i] = value
        return SUCCESS

    @staticmethod
    def _put(gpu: FakeGpu, call: str, target: Any, name: str, value: int | None) -> int:
        """Hand a value over, or say why not."""
        if gpu.lost:
            return int(pynvml.NVML_ERROR_GPU_IS_LOST)
        if code := gpu.codes.get(call, NOT_SUPPORTED if value is None else SUCCESS):
            return code
        setattr(target, name, value)
        return SUCCESS


class OldFakeNvml(FakeNvml):
    """A driver that knows the reasons of slowdowns by their old name only."""

    def __getattribute__(self, name: str) -> Any:
        if name == "nvmlDeviceGetCurrentClocksEventReasons":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def nvmlDeviceGetCurrentClocksThrottleReasons(  # noqa: N802
        self, handle: Any, reasons: Any
    ) -> int:
        return super().nvmlDeviceGetCurrentClocksEventReasons(handle, reasons)


def install(monkeypatch: pytest.MonkeyPatch, fake: FakeNvml) -> None:
    """Put the fake where pynvml keeps its library, and forget the functions it knew."""
    monkeypatch.setattr(pynvml, "nvmlLib", fake)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
