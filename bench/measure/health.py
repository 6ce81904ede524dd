"""Whether a run is comparable, and its mean utilization: pure functions of readings.

A flag says that something else than the code under test may have set the time; those of
ENERGY_FLAGS speak against the joules alone. Each has a threshold with a reason. `below_resolution`
is no flag here: it says that the joules of one component are coarse, stands on that component's
row, and leaves time and quality as they are. Nor is the GPU's power cap: at full load it is where a
card normally works.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from bench.core.labels import ENERGY_FLAGS
from bench.core.records.health import Health, Utilization
from bench.measure.os.cgroup import CgroupReading, cgroup_use
from bench.measure.os.cpu_use import CpuReading, cpu_use
from bench.measure.os.system import tick_s
from bench.measure.sampler import LATENESS_S, SamplerReport, TelemetryRow


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    """From where on a run is incomparable."""

    # Of all CPUs. A desktop idles at 1 to 3%; on two CPUs 10% is a fifth of one, enough to delay
    # a training that uses both.
    other_load_frac: float = 0.10
    # Of all CPUs. Time that the hypervisor gave to others is missing from ours one to one; it
    # should be well below the effects that a comparison looks for (5%).
    steal_frac: float = 0.02
    # Of the clock. For so long nothing of the process ran that must run, so the machine, not the
    # run, was held up; it is as much as the effects that a comparison looks for (5%).
    sampler_gap_frac: float = 0.05
    # Time throttled by the CPU quota, summed over CPUs, over the elapsed time. A thread that waits
    # for the others waits for each that stands still, so the sum bounds what the run lost; 1% is
    # well below the effects that a comparison looks for (5%).
    cpu_quota_frac: float = 0.01
    # Of the sampler's ticks within the clock. A slowdown by hardware halves the clocks at least
    # (NVML API reference, NvmlClocksEventReasons): for 5% of the time that loses 2.5% of the work
    # or more. One by software costs less; both are the same flag.
    gpu_thermal_frac: float = 0.05
    # Likewise.
    gpu_power_brake_frac: float = 0.05
    # At any tick. What another process takes of the card's time and memory bandwidth, and of the
    # joules that are booked on us, no counter tells.
    num_foreign_gpu_processes: int = 0


DEFAULT_LIMITS = HealthLimits()


def health(
    start: CpuReading,
    end: CpuReading,
    sampler: SamplerReport,
    *,
    period_s: float,
    cgroup: tuple[CgroupReading, CgroupReading] | None = None,
    rows: Sequence[TelemetryRow] = (),
    total_s: float | None = None,
    flags: Sequence[str] = (),
    limits: HealthLimits = DEFAULT_LIMITS,
) -> Health:
    """The flags of a run from readings at both edges of its clock, and from ticks within it.

    Args:
        start: At the start of the clock.
        end: At its end.
        sampler: What the sampler reports.
        period_s: The sampler's period.
        cgroup: The control group at the start and the end, where there is one.
        rows: The sampler's; those in [0, total_s] count.
        total_s: Length of the clock; None for no end.
        flags: Raised elsewhere.
        limits: From where on a flag is raised.
    """
    raised = _cpu_flags(start, end, limits)
    raised += _quota_flags(cgroup, start.num_cpus, limits)
    raised += _gpu_flags(_within(rows, math.inf if total_s is None else total_s), limits)
    length_s = end.at_s - start.at_s if total_s is None else total_s
    raised += _sampler_flags(sampler, period_s, length_s, limits)
    raised = list(dict.fromkeys([*raised, *flags]))
    return Health(
        comparable=not set(raised) - set(ENERGY_FLAGS),
        flags=raised,
        sampler_overhead_frac=sampler.overhead_frac,
    )


def utilization(
    start: CpuReading,
    end: CpuReading,
    rows: Sequence[TelemetryRow],
    *,
    total_s: float,
    own_peak_rss_bytes: int | None = None,
    cgroup: tuple[CgroupReading, CgroupReading] | None = None,
) -> Utilization:
    """Means over the clock and peaks over the run.

    Args:
        start: At the start of the clock.
        end: At its end.
        rows: The sampler's; means use those in [0, total_s], peaks all.
        total_s: Length of the clock.
        own_peak_rss_bytes: Peak of this process alone, exact; the sampler sees the whole tree but
            only at its ticks, so the larger counts.
        cgroup: The control group at the start and the end, where there is one.
    """
    use = cpu_use(start, end)
    group = cgroup_use(*cgroup, num_cpus=start.num_cpus) if cgroup else None
    rss_bytes = [row.value for row in rows if row.metric == "rss_bytes"]
    if own_peak_rss_bytes is not None:
        rss_bytes.append(own_peak_rss_bytes)
    inside = _within(rows, total_s)
    gpu_busy = [row.value for row in inside if row.metric == "gpu_busy_frac"]
    gpu_bytes = [row.value for row in rows if row.metric == "gpu_memory_used_bytes"]
    return Utilization(
        cpu_process_frac=use.process_frac if use else None,
        cpu_machine_frac=use.machine_frac if use else None,
        memory_peak_bytes=int(max(rss_bytes)) if rss_bytes else None,
        gpu_busy_frac=fmean(gpu_busy) if gpu_busy else None,
        gpu_memory_peak_bytes=int(max(gpu_bytes)) if gpu_bytes else None,
        cgroup_cpu_frac=group.cpu_frac if group else None,
        gpu_power_cap_frac=ticks_frac(inside, "gpu_power_cap"),
    )


def ticks_frac(rows: Sequence[TelemetryRow], metric: str) -> float | None:
    """Share of the ticks at which a metric is above zero on any device; None where it is in none.

    Several cards work in step, so a run is as slow as the slowest: one of them is enough.
    """
    set_at: dict[float, bool] = {}
    for row in rows:
        if row.metric == metric:
            set_at[row.t_s] = set_at.get(row.t_s, False) or row.value > 0
    return fmean(set_at.values()) if set_at else None


def _within(rows: Sequence[TelemetryRow], total_s: float) -> list[TelemetryRow]:
    return [row for row in rows if 0 <= row.t_s <= total_s]


def _cpu_flags(start: CpuReading, end: CpuReading, limits: HealthLimits) -> list[str]:
    use = cpu_use(start, end)
    if use is None:
        return []
    flags = []
    # Counted in ticks, the machine's time may be off by one on each CPU. On a clock of less than
    # 0.1 s that alone is more than 10%.
    unsure_frac = tick_s() / (end.at_s - start.at_s)
    if use.other_frac is not None and use.other_frac - unsure_frac > limits.other_load_frac:
        flags.append("other_load")
    if use.steal_frac is not None and use.steal_frac > limits.steal_frac:
        flags.append("steal")
    return flags


def _quota_flags(
    cgroup: tuple[CgroupReading, CgroupReading] | None, num_cpus: int, limits: HealthLimits
) -> list[str]:
    use = cgroup_use(*cgroup, num_cpus=num_cpus) if cgroup else None
    throttled_frac = use.throttled_frac if use else None
    return ["cpu_quota"] if (throttled_frac or 0.0) > limits.cpu_quota_frac else []


def _gpu_flags(rows: Sequence[TelemetryRow], limits: HealthLimits) -> list[str]:
    flags = []
    if (ticks_frac(rows, "gpu_thermal_slowdown") or 0.0) > limits.gpu_thermal_frac:
        flags.append("gpu_thermal")
    if (ticks_frac(rows, "gpu_power_brake") or 0.0) > limits.gpu_power_brake_frac:
        flags.append("gpu_power_brake")
    foreign = (row.value for row in rows if row.metric == "gpu_foreign_processes")
    if max(foreign, default=0.0) > limits.num_foreign_gpu_processes:
        flags.append("foreign_gpu_process")
    return flags


def _sampler_flags(
    sampler: SamplerReport, period_s: float, length_s: float, limits: HealthLimits
) -> list[str]:
    if sampler.failure is not None:
        return ["sampler_failed"]
    held_up_s = sampler.held_up_s
    if held_up_s is None:  # at least as long as the largest gap shows
        held_up_s = (sampler.largest_gap_s or 0.0) - period_s - LATENESS_S
    return ["sampler_gap"] if held_up_s > limits.sampler_gap_frac * length_s else []
