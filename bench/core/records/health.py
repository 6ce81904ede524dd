"""How busy the machine was, and whether the run may be compared with others."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilization:
    """Mean use over the clock and peaks over the run; fractions are of all CPUs, 0 to 1."""

    cpu_process_frac: float | None = None
    cpu_machine_frac: float | None = None
    memory_peak_bytes: int | None = None
    gpu_busy_frac: float | None = None
    gpu_memory_peak_bytes: int | None = None
    cgroup_cpu_frac: float | None = None
    gpu_power_cap_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the run is fit to be compared, and what speaks against it.

    Flags of ENERGY_FLAGS speak against its joules only and leave it fit.
    """

    fit: bool
    flags: list[str] = field(default_factory=list)
    sampler_overhead_frac: float | None = None
