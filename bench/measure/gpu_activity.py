"""Reads what the parts of an NVIDIA GPU did between two moments, by NVML's performance monitoring.

GPM counts in hardware, on Hopper and newer cards. Unlike `gpu_busy_frac`, it says how many
multiprocessors had work, and whether the tensor cores and the memory were busy. DCGM reads the same
counters as SM_ACTIVE, SM_OCCUPANCY, PIPE_TENSOR_ACTIVE and DRAM_ACTIVE.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pynvml

from bench.measure.clock import Clock

METRICS = {
    "gpu_sm_active_frac": pynvml.NVML_GPM_METRIC_SM_UTIL,
    "gpu_sm_occupancy_frac": pynvml.NVML_GPM_METRIC_SM_OCCUPANCY,
    "gpu_tensor_active_frac": pynvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL,
    "gpu_dram_active_frac": pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL,
}
# On Hopper, counters that are read more often are invalid. Source: NVIDIA/DCGM, issue #310.
_LEAST_SPAN_S = 0.1


class GpuActivity:
    """Reads the activity of one card since the previous call; close() frees its two samples."""

    def __init__(self, handle: Any, clock: Clock = time.monotonic) -> None:
        """Take the first sample.

        Args:
            handle: NVML's handle of the card.
            clock: Monotonic seconds.

        Raises:
            NVMLError: The card or the driver does not offer this.
        """
        if not pynvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        self._handle = handle
        self._clock = clock
        self._samples: list[Any] = []
        self._asked = _question()  # once, since it has 19 kB
        try:
            for _ in range(2):
                self._samples.append(pynvml.nvmlGpmSampleAlloc())
            self._sampled_s = clock()
            pynvml.nvmlGpmSampleGet(handle, self._samples[0])
        except pynvml.NVMLError:
            self.close()
            raise

    def __call__(self) -> list[tuple[str, float]]:
        """The mean of each metric since the previous call; nothing if that was a moment ago.

        A metric without a percentage is left out.

        Raises:
            NVMLError: The card is lost, or somebody else has taken its counters.
        """
        now_s = self._clock()
        if now_s - self._sampled_s < _LEAST_SPAN_S:
            return []
        before, after = self._samples
        pynvml.nvmlGpmSampleGet(self._handle, after)
        asked = self._asked
        asked.sample1, asked.sample2 = before, after
        pynvml.nvmlGpmMetricsGet(asked)
        self._samples, self._sampled_s = [after, before], now_s
        return [
            (name, float(metric.value) / 100)
            for name, metric in zip(METRICS, asked.metrics, strict=False)
            if metric.nvmlReturn == pynvml.NVML_SUCCESS and 0 <= metric.value <= 100
        ]

    def close(self) -> None:
        """Free the samples; call it before the library is released."""
        for sample in self._samples:
            with suppress(pynvml.NVMLError):  # the driver is gone and has freed it
                pynvml.nvmlGpmSampleFree(sample)
        self._samples = []


def _question() -> Any:
    asked = pynvml.c_nvmlGpmMetricsGet_t()
    asked.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    asked.numMetrics = len(METRICS)
    for place, metric in enumerate(METRICS.values()):
        asked.metrics[place].metricId = metric
    return asked
