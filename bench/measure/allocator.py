"""Reads how much GPU memory torch's allocator had in use at most, without importing torch."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def reset_peaks() -> None:
    """Let the peaks of this process begin anew; those that a program has read itself, too."""
    for cuda, device in _devices():
        cuda.reset_peak_memory_stats(device)


def read_peaks() -> dict[str, int | None]:
    """The peaks since they began, of the device with the most; None without CUDA.

    CUDA may have been started since then, with nothing allocated before.
    """
    found = list(_devices())
    allocated = [cuda.max_memory_allocated(device) for cuda, device in found]
    reserved = [cuda.max_memory_reserved(device) for cuda, device in found]
    return {
        "gpu_allocated_peak_bytes": max(allocated, default=None),
        "gpu_reserved_peak_bytes": max(reserved, default=None),
    }


def _devices() -> Iterable[tuple[Any, int]]:
    """torch.cuda with each of its devices; none if this process has not started CUDA."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        for device in range(torch.cuda.device_count()):
            yield torch.cuda, device
