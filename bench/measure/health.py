"""Whether a run is fit to be compared, and its mean utilization: pure functions of readings.

A flag says that something else than the code under test may have set the time. Each has a
threshold with a reason. `below_resolution` is no flag here: it says that the joules of one
component are coarse, stands on that component's row, and leaves time and quality as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.core.records import Health, Utilization
from bench.measure.sampler import SamplerReport, TelemetryRow
from bench.measure.system import CpuReading, cpu_use


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    """From where on a run is unfit."""

    # Of all CPUs. A desktop idles at 1 to 3%; on two CPUs 10% is a fifth of one, enough to delay
    # a training that uses both.
    other_load_frac: float = 0.10
    # Of all CPUs. Time that the hypervisor gave to others is missing from ours one to one; it
    # should be well below the effects that a comparison looks for (5%).
    steal_frac: float = 0.02
    # Missed ticks in a row. A tick is late by up to 0.1 s beside code that holds the interpreter;
    # several lost periods mean that the machine, not the run, was held up.
    sampler_gap_periods: float = 5.0


DEFAULT_LIMITS = HealthLimits()


def health(
    start: CpuReading,
    end: CpuReading,
    sampler: SamplerReport,
    *,
    period_s: float,
    shared: bool = False,
    limits: HealthLimits = DEFAULT_LIMITS,
) -> Health:
    """The flags of a run from readings at both edges of its clock.

    Args:
        start: At the start of the clock.
        end: At its end.
        sampler: What the sampler reports.
        period_s: The sampler's period.
        shared: Whether other measured runs were allowed on the machine meanwhile.
        limits: From where on a flag is raised.
    """
    flags = ["shared"] if shared else []
    use = cpu_use(start, end)
    if use is not None:
        if use.machine_frac - use.process_frac > limits.other_load_frac:
            flags.append("other_load")
        if use.steal_frac is not None and use.steal_frac > limits.steal_frac:
            flags.append("steal")
    if sampler.failure is not None:
        flags.append("sampler_failed")
    elif (sampler.largest_gap_s or 0.0) > limits.sampler_gap_periods * period_s:
        flags.append("sampler_gap")
    return Health(fit=not flags, flags=flags, sampler_overhead_frac=sampler.overhead_frac)


def utilization(
    start: CpuReading,
    end: CpuReading,
    rows: Sequence[TelemetryRow],
    *,
    total_s: float,
    own_peak_rss_bytes: int | None = None,
) -> Utilization:
    """Means over the clock and peaks over the run.

    Args:
        start: At the start of the clock.
        end: At its end.
        rows: The sampler's; means use those in [0, total_s], peaks all.
        total_s: Length of the clock.
        own_peak_rss_bytes: Peak of this process alone, exact; the sampler sees the whole tree but
            only at its ticks, so the larger counts.
    """
    use = cpu_use(start, end)
    rss_bytes = [row.value for row in rows if row.metric == "rss_bytes"]
    if own_peak_rss_bytes is not None:
        rss_bytes.append(own_peak_rss_bytes)
    gpu_busy = [
        row.value for row in rows if row.metric == "gpu_busy_frac" and 0 <= row.t_s <= total_s
    ]
    gpu_bytes = [row.value for row in rows if row.metric == "gpu_memory_used_bytes"]
    return Utilization(
        cpu_process_frac=use.process_frac if use else None,
        cpu_machine_frac=use.machine_frac if use else None,
        memory_peak_bytes=int(max(rss_bytes)) if rss_bytes else None,
        gpu_busy_frac=sum(gpu_busy) / len(gpu_busy) if gpu_busy else None,
        gpu_memory_peak_bytes=int(max(gpu_bytes)) if gpu_bytes else None,
    )
