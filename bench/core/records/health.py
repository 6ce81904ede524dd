"""How busy the machine was, and whether the run may be compared with others."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilization:
    """Mean use over the clock and peaks over the run.

    Attributes:
        cpu_process_frac: CPU time of the run's process and its children / (time x CPUs of the
            machine).
        cpu_machine_frac: The same for all that ran on the machine.
        memory_peak_bytes: Largest resident memory of the run's processes, from the job's start.
        gpu_busy_frac: Mean of what NVML reports: the share of time in which any kernel ran. It says
            nothing about how much of the GPU computed.
        gpu_memory_peak_bytes: Largest memory used on the GPU as NVML reports it, by all processes.
        cgroup_cpu_frac: As `cpu_process_frac`, for the control group (v1 or v2) that the process is
            in, its children included; in the root group that is the whole machine. None where no
            mount shows the group.
        gpu_power_cap_frac: Share of the sampler's ticks at which a GPU was at its power cap, as is
            normal under full load.
    """

    cpu_process_frac: float | None = None
    cpu_machine_frac: float | None = None
    memory_peak_bytes: int | None = None
    gpu_busy_frac: float | None = None
    gpu_memory_peak_bytes: int | None = None
    cgroup_cpu_frac: float | None = None
    gpu_power_cap_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the run is comparable, and what speaks against it.

    Flags of ENERGY_FLAGS speak against its joules only and leave it comparable.

    Attributes:
        comparable: Whether the run may be compared with others.
        flags: What speaks against the run; the flags are below.
        sampler_overhead_frac: CPU time of the sampling thread / time, as a fraction of one core;
            waking up and the energy meters' ticks included. In a run of less than a few seconds the
            first tick dominates it.
    """

    comparable: bool
    flags: list[str] = field(default_factory=list)
    sampler_overhead_frac: float | None = None
