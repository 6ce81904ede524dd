"""Recomputes utilization and health flags, from CPU times at the edges and from samples."""

from __future__ import annotations

from dataclasses import asdict

from bench.core.labels import ENERGY_FLAGS
from bench.core.mfu import with_mfu
from bench.measure.health import health, utilization
from bench.measure.os.cgroup import CgroupReading
from bench.measure.sampler import SamplerReport
from bench.verification.model import Findings
from bench.verification.raw import RawRun, Readings

_QUIET = SamplerReport(overhead_frac=0.0, tick_cost_s=0.0, num_ticks=0, failure=None, held_up_s=0.0)
# Flags that follow from CPU times, the control group and the samples.
_RECOMPUTED = (
    *("other_load", "steal", "cpu_quota"),
    *("gpu_thermal", "gpu_power_brake", "foreign_gpu_process"),
)
# Fields of utilization that follow from other things, or that samples do not show exactly.
_OF_MFU = ("mfu_frac", "mfu_peak_flops_per_s")
_ELSEWHERE = (
    *("memory_peak_bytes", "gpu_allocated_peak_bytes", "gpu_reserved_peak_bytes"),
    *_OF_MFU,
)


def verify_machine(run: RawRun, found: Findings) -> None:
    """Verify utilization, the flags that can be computed again, and the verdict they give."""
    record, readings, rows = run.record, run.readings, run.telemetry
    judged = record.health
    if judged is not None:
        if judged.sampler_overhead_frac is not None:
            found.cannot("health.sampler_overhead_frac", "CPU times of the sampler are not kept")
        others = f"what raises flags other than {', '.join(_RECOMPUTED)} is not stored"
        found.cannot("health.flags", others)
        comparable = not set(judged.flags) - set(ENERGY_FLAGS)
        found.compare("health.comparable", judged.comparable, comparable)
    _verify_mfu(run, found)
    if record.nodes:
        found.cannot("utilization", "it is that of several nodes")
        return
    if judged is None or rows is None or readings is None or len(readings.cpu) < 2:
        if record.utilization is not None:
            found.cannot("utilization", "there is no readings.parquet")
        return
    start, end = readings.cpu[:2]
    cgroup = _cgroup(readings)
    total_s = record.phases.wall_time_s or 0.0
    again = health(start, end, _QUIET, total_s=total_s, cgroup=cgroup, rows=rows)
    for flag in _RECOMPUTED:
        found.compare(f"health.flags: {flag}", flag in judged.flags, flag in again.flags)
    if record.utilization is None:
        return
    use = utilization(start, end, rows, total_s=total_s, cgroup=cgroup)
    seen_bytes = use.memory_peak_bytes
    for name, value in asdict(use).items():
        if name not in _ELSEWHERE:
            found.compare(f"utilization.{name}", getattr(record.utilization, name), value)
    # A process knows its own peak, which may lie between two samples.
    stored = record.utilization.memory_peak_bytes
    is_possible = seen_bytes is None or (stored is not None and stored >= seen_bytes)
    expected = f"at least the {seen_bytes} that were sampled"
    found.require("utilization.memory_peak_bytes", stored, is_possible, expected)


def _verify_mfu(run: RawRun, found: Findings) -> None:
    """Verify model FLOPs utilization, from the last evaluation; the peak is this version's."""
    stored = run.record.utilization
    again = with_mfu(run.record, run.curve).utilization
    if stored is None or again is None:
        return
    for name in _OF_MFU:
        found.compare(f"utilization.{name}", getattr(stored, name), getattr(again, name))
    if stored.gpu_allocated_peak_bytes is not None:
        found.cannot("utilization.gpu_allocated_peak_bytes", "torch's allocator alone knows it")


def _cgroup(readings: Readings) -> tuple[CgroupReading, CgroupReading] | None:
    start, end = readings.cgroup[:2]
    return (start, end) if start is not None and end is not None else None
