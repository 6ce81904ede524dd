"""Judges whether a run is comparable, and computes its mean utilization; pure functions.

A flag says that something other than the code under test may have changed the time. The flags in
ENERGY_FLAGS concern the joules only. Each flag has a threshold with a reason. Two things raise no
flag here: `below_resolution`, which says that the joules of one component are coarse and is stored
with that component, and the power cap of a GPU, where a card normally works at full load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from bench.core.labels import ENERGY_FLAGS
from bench.core.records.health import Health, Utilization
from bench.measure.os.cgroup import CgroupReading, cgroup_use
from bench.measure.os.cpu_use import CpuReading, cpu_use
from bench.measure.os.system import tick_s
from bench.measure.sampler import SamplerReport, TelemetryRow

# From these values on, a run is not comparable.
# Share of all CPUs. A desktop idles at 1 to 3%; on two CPUs 10% is a fifth of one, enough to delay
# a training that uses both.
OTHER_LOAD_FRAC = 0.10
# Share of all CPUs. Time that the hypervisor gave to others is missing from ours one to one; it
# should be well below the effects that a comparison looks for (5%).
STEAL_FRAC = 0.02
# Share of the clock. For this long no thread of the process ran that should have run, so something
# held up the machine, not just the run; it equals the effects that a comparison looks for (5%).
SAMPLER_GAP_FRAC = 0.05
# Time throttled by the CPU quota, summed over CPUs, divided by the elapsed time. A thread that
# waits for the others waits for each CPU that stands still, so the sum bounds what the run lost;
# 1% is well below the effects that a comparison looks for (5%).
CPU_QUOTA_FRAC = 0.01
# Share of the sampler's ticks within the clock. A slowdown by hardware halves the clocks at least
# (NVML API reference, NvmlClocksEventReasons): over 5% of the time that loses 2.5% of the work or
# more. One by software costs less; both raise the same flag.
GPU_SLOWDOWN_FRAC = 0.05


def health(
    start: CpuReading,
    end: CpuReading,
    sampler: SamplerReport,
    *,
    total_s: float,
    cgroup: tuple[CgroupReading, CgroupReading] | None = None,
    rows: Sequence[TelemetryRow] = (),
    flags: Sequence[str] = (),
) -> Health:
    """Judge a run by readings at both edges of its clock, and by the ticks between them.

    Args:
        start: Reading at the start of the clock.
        end: Reading at its end.
        sampler: Report of the sampler.
        total_s: Length of the clock.
        cgroup: The control group at the start and the end, if there is one.
        rows: Telemetry; rows in [0, total_s] count, and of the processes on a GPU also the last
            ones before and the first ones after.
        flags: Flags that were raised elsewhere.
    """
    raised = [
        *_cpu_flags(start, end),
        *_quota_flags(cgroup, start.num_cpus),
        *_gpu_flags(_within(rows, total_s)),
        *_foreign_flags(rows, total_s),
        *_sampler_flags(sampler, total_s),
        *flags,
    ]
    return Health(
        comparable=not set(raised) - set(ENERGY_FLAGS),
        flags=list(dict.fromkeys(raised)),
        sampler_overhead_frac=sampler.overhead_frac,
    )


def without_gap(judged: Health) -> Health:
    """Take `sampler_gap` back for a run that keeps all CPUs busy with a process of its own.

    The sampler then has to wait for that process, so a late tick shows no disturbance from outside.
    """
    flags = [flag for flag in judged.flags if flag != "sampler_gap"]
    return replace(judged, flags=flags, comparable=not set(flags) - set(ENERGY_FLAGS))


def utilization(
    start: CpuReading,
    end: CpuReading,
    rows: Sequence[TelemetryRow],
    *,
    total_s: float,
    own_peak_rss_bytes: int | None = None,
    cgroup: tuple[CgroupReading, CgroupReading] | None = None,
) -> Utilization:
    """Compute means over the clock and peaks over the run.

    Args:
        start: Reading at the start of the clock.
        end: Reading at its end.
        rows: Telemetry; means use the rows in [0, total_s], peaks use all.
        total_s: Length of the clock.
        own_peak_rss_bytes: Exact peak of this process alone. The sampler sees the whole process
            tree, but only at its ticks, so the larger of the two counts.
        cgroup: The control group at the start and the end, if there is one.
    """
    use = cpu_use(start, end)
    group = cgroup_use(*cgroup, num_cpus=start.num_cpus) if cgroup else None
    rss_bytes = [*_values(rows, "rss_bytes"), own_peak_rss_bytes or 0]
    inside = _within(rows, total_s)
    gpu_bytes = _values(rows, "gpu_memory_used_bytes")
    return Utilization(
        cpu_process_frac=use.process_frac if use else None,
        cpu_machine_frac=use.machine_frac if use else None,
        memory_peak_bytes=int(max(rss_bytes)) or None,
        gpu_busy_frac=_mean(inside, "gpu_busy_frac"),
        gpu_sm_active_frac=_mean(inside, "gpu_sm_active_frac"),
        gpu_sm_occupancy_frac=_mean(inside, "gpu_sm_occupancy_frac"),
        gpu_tensor_active_frac=_mean(inside, "gpu_tensor_active_frac"),
        gpu_dram_active_frac=_mean(inside, "gpu_dram_active_frac"),
        gpu_sm_clock_mhz=_mean(inside, "gpu_sm_clock_mhz"),
        gpu_memory_peak_bytes=int(max(gpu_bytes)) if gpu_bytes else None,
        cgroup_cpu_frac=group.cpu_frac if group else None,
        gpu_power_cap_frac=ticks_frac(inside, "gpu_power_cap"),
    )


def ticks_frac(rows: Sequence[TelemetryRow], metric: str) -> float | None:
    """Share of the ticks at which a metric is above zero on any device; None if no row has it.

    One card is enough: several work in step, so a run is as slow as the slowest of them.
    """
    set_at: dict[float, bool] = {}
    for row in rows:
        if row.metric == metric:
            set_at[row.t_s] = set_at.get(row.t_s, False) or row.value > 0
    return fmean(set_at.values()) if set_at else None


def _mean(rows: Sequence[TelemetryRow], metric: str) -> float | None:
    values = _values(rows, metric)
    return fmean(values) if values else None


def _values(rows: Sequence[TelemetryRow], metric: str) -> list[float]:
    return [row.value for row in rows if row.metric == metric]


def _within(rows: Sequence[TelemetryRow], total_s: float) -> list[TelemetryRow]:
    return [row for row in rows if 0 <= row.t_s <= total_s]


def _cpu_flags(start: CpuReading, end: CpuReading) -> list[str]:
    use = cpu_use(start, end)
    if use is None:
        return []
    flags = []
    # The machine's time is counted in ticks, so it may be off by one on each CPU. On a clock of
    # less than 0.1 s that alone is more than 10%.
    unsure_frac = tick_s() / (end.at_s - start.at_s)
    if use.other_frac is not None and use.other_frac - unsure_frac > OTHER_LOAD_FRAC:
        flags.append("other_load")
    if use.steal_frac is not None and use.steal_frac > STEAL_FRAC:
        flags.append("steal")
    return flags


def _quota_flags(cgroup: tuple[CgroupReading, CgroupReading] | None, num_cpus: int) -> list[str]:
    use = cgroup_use(*cgroup, num_cpus=num_cpus) if cgroup else None
    throttled_frac = use.throttled_frac if use else None
    return ["cpu_quota"] if (throttled_frac or 0.0) > CPU_QUOTA_FRAC else []


def _gpu_flags(rows: Sequence[TelemetryRow]) -> list[str]:
    slowdowns = {"gpu_thermal": "gpu_thermal_slowdown", "gpu_power_brake": "gpu_power_brake"}
    return [
        flag
        for flag, metric in slowdowns.items()
        if (ticks_frac(rows, metric) or 0.0) > GPU_SLOWDOWN_FRAC
    ]


def _foreign_flags(rows: Sequence[TelemetryRow], total_s: float) -> list[str]:
    # Processes are listed seldom: next to the clock's edges (outside it), and every 10 s between.
    listed = [row for row in rows if row.metric == "gpu_foreign_processes"]
    first_s = max((row.t_s for row in listed if row.t_s <= 0), default=0.0)
    last_s = min((row.t_s for row in listed if row.t_s >= total_s), default=total_s)
    # One list is enough: no counter tells how much of the card's time, memory bandwidth and joules
    # another process took.
    is_foreign = any(row.value > 0 for row in listed if first_s <= row.t_s <= last_s)
    return ["foreign_gpu_process"] if is_foreign else []


def _sampler_flags(sampler: SamplerReport, total_s: float) -> list[str]:
    if sampler.failure is not None:
        return ["sampler_failed"]
    return ["sampler_gap"] if sampler.held_up_s > SAMPLER_GAP_FRAC * total_s else []
