"""The meters that are tried by default: for each part of the machine the best that can be read."""

from __future__ import annotations

from bench.measure.meters.base import Meter
from bench.measure.meters.cpu_model import CpuModelMeter
from bench.measure.meters.nvml import NvmlMeter
from bench.measure.meters.rapl import RaplMeter


def auto_meters() -> dict[str, Meter]:
    """Counters of GPUs and processors, and the model for processors without one."""
    return {"nvml": NvmlMeter(), "rapl": RaplMeter(), "cpu_model": CpuModelMeter()}
