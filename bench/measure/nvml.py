"""What NVML tells of the GPUs that a run can see: the only module that uses pynvml.

`gpu_busy_frac` is NVML's utilization: the share of its last sample period (1/6 s to 1 s, by card)
in which any kernel ran. One thread in a loop makes it 1, so it is called busy, never utilization
of compute. Memory is what is in use on the device, by all processes.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pynvml

from bench.measure.meters.base import MeterUnavailable

# (device, metric, value), as the sampler takes it.
Sample = tuple[str, str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuDevice:
    """One GPU; index is NVML's, in the order of the PCI bus, which need not be CUDA's."""

    index: int
    uuid: str
    name: str


class GpuReader:
    """Reads the visible GPUs; open() first, close() when done."""

    def __init__(self, visible: str | None = None) -> None:
        """Nothing is read yet.

        Args:
            visible: The value of CUDA_VISIBLE_DEVICES, None where it is not set. Numbers are
                taken as NVML's: with cards of several models set CUDA_DEVICE_ORDER=PCI_BUS_ID.
        """
        self.devices: list[GpuDevice] = []
        self._visible = visible
        self._handles: list[Any] = []

    def open(self) -> None:
        """Load the library, find the devices and read each of them once.

        Raises:
            MeterUnavailable: There is no driver, no GPU, or none that is visible.
        """
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise MeterUnavailable(f"no NVIDIA driver: {error}") from error
        try:
            self._find()
            self.samples()
        except pynvml.NVMLError as error:
            self.close()
            raise MeterUnavailable(f"NVML: {error}") from error
        except MeterUnavailable:
            self.close()
            raise

    def samples(self) -> list[Sample]:
        """Busy fraction and memory in use of each device; what a device does not tell is left out.

        Raises:
            pynvml.NVMLError: A device was lost.
        """
        found: list[Sample] = []
        for device, handle in zip(self.devices, self._handles, strict=True):
            name = f"gpu{device.index}"
            try:
                busy_pct = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
                found.append((name, "gpu_busy_frac", busy_pct / 100))
            except pynvml.NVMLError_NotSupported:
                pass  # Such as a card that is divided into instances (MIG).
            used_bytes = pynvml.nvmlDeviceGetMemoryInfo(handle).used
            found.append((name, "gpu_memory_used_bytes", float(used_bytes)))
        return found

    def close(self) -> None:
        """Release the library; a driver that is gone has released it already."""
        self.devices, self._handles = [], []
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()

    def _find(self) -> None:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
        uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
        visible = visible_indices(self._visible, uuids)
        if not visible:
            raise MeterUnavailable(
                f"none of {len(handles)} GPUs is visible: CUDA_VISIBLE_DEVICES={self._visible}"
            )
        self._handles = [handles[index] for index in visible]
        self.devices = [
            GpuDevice(index=index, uuid=uuids[index], name=pynvml.nvmlDeviceGetName(handles[index]))
            for index in visible
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
