"""How busy the machine was, and whether the run may be compared with others."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilization:
    """Mean use over the clock and peaks over the run.

    Attributes:
        cpu_process_frac: CPU time of the run's process and its children / (time x CPUs of the
            machine).
        cpu_machine_frac: The same for everything on the machine.
        memory_peak_bytes: Peak resident memory of the run's processes since the job started.
        gpu_busy_frac: Mean of NVML's utilization: the share of the time in which any kernel ran. It
            does not say how much of the GPU computed.
        gpu_sm_active_frac: Mean share of the multiprocessors (SMs) that had at least one warp to
            run. NVML counts it in hardware on Hopper and newer cards; None on all others.
        gpu_sm_occupancy_frac: Mean share of the warps that the SMs can hold that were there.
        gpu_tensor_active_frac: Mean share of the time in which the tensor cores worked.
        gpu_dram_active_frac: Mean share of the GPU's peak memory bandwidth that was used.
        gpu_sm_clock_mhz: Mean clock of the SMs. It also shows clocks that somebody has locked.
        gpu_memory_peak_bytes: Peak memory used on the GPU by all processes, by NVML.
        gpu_allocated_peak_bytes: Peak of the memory that tensors used on the clock, by torch's
            allocator in the process that records the run; with several devices, the largest. None
            without CUDA, and if another process trains or serves.
        gpu_reserved_peak_bytes: Peak of what the allocator had taken from the driver, on the clock.
        mfu_frac: Model FLOPs utilization of a training: 3 x `model.flops_per_sample` x samples /
            (time in the phase `train` x `mfu_peak_flops_per_s`), at the last evaluation. None on a
            CPU, and if FLOPs or peak are unknown.
        mfu_peak_flops_per_s: Dense peak of all GPUs of the run at its precision, by NVIDIA's data
            sheets.
        cgroup_cpu_frac: The same as `cpu_process_frac` for the control group of the process (v1 or
            v2) and its children; for the root group, the whole machine. None if no mount shows the
            group.
        gpu_power_cap_frac: Share of the sampler's ticks at which a GPU was at its power cap, which
            is normal under full load.
    """

    cpu_process_frac: float | None = None
    cpu_machine_frac: float | None = None
    memory_peak_bytes: int | None = None
    gpu_busy_frac: float | None = None
    gpu_sm_active_frac: float | None = None
    gpu_sm_occupancy_frac: float | None = None
    gpu_tensor_active_frac: float | None = None
    gpu_dram_active_frac: float | None = None
    gpu_sm_clock_mhz: float | None = None
    gpu_memory_peak_bytes: int | None = None
    gpu_allocated_peak_bytes: int | None = None
    gpu_reserved_peak_bytes: int | None = None
    mfu_frac: float | None = None
    mfu_peak_flops_per_s: float | None = None
    cgroup_cpu_frac: float | None = None
    gpu_power_cap_frac: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the run is comparable, and the flags that speak against it.

    Flags in ENERGY_FLAGS concern only the joules: the run stays comparable.

    Attributes:
        comparable: Whether the run may be compared with others.
        flags: Reasons against comparing the run; see the list of flags.
        sampler_overhead_frac: CPU time of the sampling thread / time, as a fraction of one core. It
            includes waking up and the regular readings of energy meters. In a run of a few seconds
            the first tick dominates it.
    """

    comparable: bool
    flags: list[str] = field(default_factory=list)
    sampler_overhead_frac: float | None = None
