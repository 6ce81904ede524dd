"""How busy the CPUs were between two readings: pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuReading:
    """Cumulative CPU seconds at one moment; the zero of each means nothing.

    The machine's are of one reading of the kernel's counters: busy, idle and steal together are all
    the time that its CPUs had. steal_s is time in which the hypervisor ran something else; it is in
    no busy time. None where the system does not tell.
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

    other_frac is what the machine did beyond the process; as the kernel counts in ticks, on a short
    span it may come out larger than it can be. None where the system does not tell.
    """

    process_frac: float
    machine_frac: float | None
    other_frac: float | None
    steal_frac: float | None


def cpu_use(start: CpuReading, end: CpuReading) -> CpuUse | None:
    """Use between two readings; None where no time passed between them.

    The machine's shares are of the time that its own counters say has passed, which no delay
    between reading them and the clock can falsify. Nothing is above 1: what rounding adds is cut
    off.
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
        # Not so where a kernel does not count idle time.
        machine_s = counted_s if counted_s > capacity_s / 2 else capacity_s
    process_frac = (end.process_s - start.process_s) / capacity_s
    return CpuUse(
        process_frac=min(1.0, process_frac),
        machine_frac=fraction(busy_s, machine_s),
        other_frac=None if busy_s is None else busy_s / machine_s - process_frac,
        steal_frac=fraction(steal_s, machine_s),
    )


def difference(start: float | None, end: float | None) -> float | None:
    """Of two readings; None where one is missing."""
    return None if start is None or end is None else end - start


def fraction(part: float | None, whole: float) -> float | None:
    """A share between 0 and 1; None where the part is not known, or its counter ran backwards.

    Clocks that are read one after the other may say a little more than 1.
    """
    return None if part is None or part < 0 else min(1.0, part / whole)
