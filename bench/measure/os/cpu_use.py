"""Computes how busy the CPUs were between two readings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuReading:
    """Cumulative CPU seconds at one moment; only differences mean anything.

    The times of the machine are from one reading of the kernel's counters: busy, idle and steal
    together are all the time of its CPUs. steal_s is time in which the hypervisor ran something
    else; no busy time includes it. None means that the system does not say.
    """

    at_s: float
    process_s: float
    machine_busy_s: float | None
    steal_s: float | None
    num_cpus: int
    machine_idle_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuUse:
    """Means between two readings, as fractions of all CPUs of the machine, 0 to 1.

    other_frac is the use by other processes. The kernel counts in ticks, so over a short span it
    can be larger than is possible. None means that the system does not say.
    """

    process_frac: float
    machine_frac: float | None
    other_frac: float | None
    steal_frac: float | None


def cpu_use(start: CpuReading, end: CpuReading) -> CpuUse | None:
    """Compute the use between two readings; None if no time passed between them.

    Shares of the machine are relative to the time that its own counters say has passed, so a delay
    between reading them and the clock does no harm. Shares above 1, by rounding, are cut to 1.
    """
    capacity_s = (end.at_s - start.at_s) * end.num_cpus
    if capacity_s <= 0:
        return None
    busy_s = difference(start.machine_busy_s, end.machine_busy_s)
    idle_s = difference(start.machine_idle_s, end.machine_idle_s)
    steal_s = difference(start.steal_s, end.steal_s)
    machine_s = capacity_s
    if busy_s is not None and idle_s is not None:
        counted_s = busy_s + idle_s + (steal_s or 0.0)
        # Some kernels do not count idle time; the sum is then too small to be the capacity.
        machine_s = counted_s if counted_s > capacity_s / 2 else capacity_s
    process_frac = (end.process_s - start.process_s) / capacity_s
    return CpuUse(
        process_frac=min(1.0, process_frac),
        machine_frac=fraction(busy_s, machine_s),
        other_frac=None if busy_s is None else busy_s / machine_s - process_frac,
        steal_frac=fraction(steal_s, machine_s),
    )


def difference(start: float | None, end: float | None) -> float | None:
    """The difference of two readings; None if one is missing."""
    return None if start is None or end is None else end - start


def fraction(part: float | None, whole: float) -> float | None:
    """A share between 0 and 1; None if the part is unknown or its counter ran backwards.

    Clocks that are read one after the other may give slightly more than 1.
    """
    return None if part is None or part < 0 else min(1.0, part / whole)
