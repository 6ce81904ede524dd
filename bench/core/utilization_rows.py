"""The rows of the catalogue (bench/core/metrics.py) for the use of processors, memory and GPUs.

More or less use is neither better nor worse. Peaks of memory are: less fits on a smaller machine.
"""

from __future__ import annotations

from typing import Any

from bench.core.metric import Metric, measured_row, metric_of, shown_rows

_MEGA = ("MB", 1e-6)


def _share(leaf: str, title: str, **facts: Any) -> Metric:
    """A share that a table shows."""
    path = f"utilization.{leaf}"
    return metric_of(path, None, title=title, topics=("utilization",), **facts)


def _peak(leaf: str, title: str) -> Metric:
    return measured_row(
        f"utilization.{leaf}", 0.05, title=title, shown=_MEGA, topics=("utilization",)
    )


UTILIZATION_ROWS = (
    _share("cpu_process_frac", "CPU of the run"),
    _share("cpu_machine_frac", "CPU of the machine"),
    _peak("memory_peak_bytes", "peak memory"),
    _share("gpu_busy_frac", "GPU busy"),
    _share("gpu_sm_active_frac", "SM activity"),
    _share("gpu_tensor_active_frac", "tensor core activity", heading="tensor cores"),
    _share("gpu_dram_active_frac", "GPU memory bandwidth"),
    _peak("gpu_memory_peak_bytes", "peak GPU memory"),
    _share("mfu_frac", "model FLOPs utilization", heading="MFU"),
    *shown_rows("min", "utilization.", "gpu_allocated_peak_bytes", title="peak of GPU tensors"),
    *shown_rows("min", "utilization.", "gpu_reserved_peak_bytes", title="peak of GPU allocator"),
    *shown_rows(None, "utilization.", "mfu_peak_flops_per_s", title="peak FLOPs", unit="1/s"),
    *shown_rows(None, "utilization.", "gpu_sm_occupancy_frac", title="SM occupancy"),
    *shown_rows(None, "utilization.", "gpu_sm_clock_mhz", title="SM clock"),
    *shown_rows(None, "utilization.", "cgroup_cpu_frac", "gpu_power_cap_frac"),
)
