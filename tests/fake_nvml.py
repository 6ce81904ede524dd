"""A pure Python library under the real pynvml: C names, C return codes, output by reference."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import pynvml
import pytest

SUCCESS = pynvml.NVML_SUCCESS


@dataclass
class FakeGpu:
    """One card; busy_pct None where it does not tell its utilization."""

    uuid: str
    name: str = "Fake A100"
    busy_pct: int | None = 50
    used_bytes: int = 1 << 30
    lost: bool = False


@dataclass
class FakeNvml:
    """What pynvml takes for the shared library; handles are index + 1, as null is no handle."""

    gpus: list[FakeGpu]
    init_code: int = SUCCESS
    num_open: int = field(default=0)

    def nvmlInitWithFlags(self, flags: int) -> int:  # noqa: N802
        self.num_open += self.init_code == SUCCESS
        return self.init_code

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.num_open -= 1
        return int(SUCCESS)

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.gpus)
        return int(SUCCESS)

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802
        address = ctypes.cast(ctypes.byref(handle._obj), ctypes.POINTER(ctypes.c_void_p))
        address[0] = index.value + 1
        return int(SUCCESS)

    def nvmlDeviceGetUUID(self, handle: Any, buffer: Any, length: Any) -> int:  # noqa: N802
        buffer.value = self._gpu(handle).uuid.encode()
        return int(SUCCESS)

    def nvmlDeviceGetName(self, handle: Any, buffer: Any, length: Any) -> int:  # noqa: N802
        buffer.value = self._gpu(handle).name.encode()
        return int(SUCCESS)

    def nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> int:  # noqa: N802
        busy_pct = self._gpu(handle).busy_pct
        if busy_pct is None:
            return int(pynvml.NVML_ERROR_NOT_SUPPORTED)
        rates._obj.gpu = busy_pct
        return int(SUCCESS)

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:  # noqa: N802
        gpu = self._gpu(handle)
        if gpu.lost:
            return int(pynvml.NVML_ERROR_GPU_IS_LOST)
        memory._obj.used = gpu.used_bytes
        return int(SUCCESS)

    def nvmlErrorString(self, code: int) -> bytes:  # noqa: N802
        return f"code {code}".encode()

    def _gpu(self, handle: Any) -> FakeGpu:
        address = ctypes.cast(handle, ctypes.c_void_p).value
        assert address is not None
        return self.gpus[address - 1]


def install(monkeypatch: pytest.MonkeyPatch, fake: FakeNvml) -> None:
    """Put the fake where pynvml keeps its library, and forget the functions it knew."""
    monkeypatch.setattr(pynvml, "nvmlLib", fake)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
