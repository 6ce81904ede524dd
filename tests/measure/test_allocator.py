"""Peaks of torch's allocator, on a CUDA that is put in place of torch's."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from bench.measure.window import Window
from tests.fakes import FakeClock


class FakeCuda:
    """Two devices; the allocator of each knows its peaks since they were reset."""

    def __init__(self, *, is_initialized: bool = True) -> None:
        self.initialized = is_initialized
        self.now = [[50, 60], [10, 80]]  # bytes in tensors, and taken from the driver, by device
        self.peak = [[900, 1000], [10, 80]]

    def is_initialized(self) -> bool:
        return self.initialized

    def device_count(self) -> int:
        return 2

    def use(self, device: int, *num_bytes: int) -> None:
        self.peak[device] = [max(*pair) for pair in zip(self.peak[device], num_bytes, strict=True)]

    def reset_peak_memory_stats(self, device: int) -> None:
        self.peak[device] = list(self.now[device])

    def max_memory_allocated(self, device: int) -> int:
        return self.peak[device][0]

    def max_memory_reserved(self, device: int) -> int:
        return self.peak[device][1]


def peaks(window: Window) -> tuple[int | None, int | None]:
    assert window.utilization is not None
    return window.utilization.gpu_allocated_peak_bytes, window.utilization.gpu_reserved_peak_bytes


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    return cuda


def window(gpus: list[str] | None = None) -> Window:
    return Window({}, period_s=None, shared=True, clock=FakeClock(1.0), gpus=gpus)


def test_peaks_are_those_on_the_clock_of_the_device_with_the_most(cuda: FakeCuda) -> None:
    with window() as found:
        cuda.use(0, 200, 300)
    # The 900 bytes of the set-up do not count, nor does what comes later.
    cuda.use(0, 9999, 9999)
    assert peaks(found) == (200, 300)


def test_cuda_may_start_on_the_clock(cuda: FakeCuda) -> None:
    cuda.initialized = False
    with window() as found:
        cuda.initialized = True
    assert peaks(found) == (900, 1000)


def test_without_cuda_there_is_no_peak(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch) -> None:
    with window(gpus=[]) as found:  # a run on the CPU, beside a program's own use of CUDA
        pass
    assert (peaks(found), cuda.peak[0]) == ((None, None), [900, 1000])
    cuda.initialized = False
    with window() as found:
        pass
    assert peaks(found) == (None, None)
    monkeypatch.delitem(sys.modules, "torch")
    with window() as found:
        pass
    assert peaks(found) == (None, None)
