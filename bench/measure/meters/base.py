"""What every energy meter looks like: cumulative joules per component, and how far to trust them.

A meter owns one source of joules. It is opened by a real read, so what cannot be read is known
before the clock starts, and it unwraps its counters in the same call that reads them: whoever
takes differences of its readings need not know about wraps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.core.labels import EnergyLabel


class MeterUnavailable(Exception):  # noqa: N818 -- says that something is missing, as the records do
    """A meter cannot be read here; the message is the reason, with a remedy where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of the machine whose joules a meter gives.

    name is a part and its number ("cpu0", "dram1", "gpu0"; "cpu" for all processors together): of
    two meters for the same part only one counts. refresh_s is how often the underlying counter
    changes: a window of few refreshes is noise.

    What a window can be off by, whatever its length: error_frac of what it reads, for the sensor or
    the model; and edge_error_j, both edges together, because a counter tells what was true at its
    last refresh.

    tick_s is the longest time that may pass between two readings (a counter wraps, power is
    integrated); None where it does not matter.
    """

    name: str
    source: str
    label: EnergyLabel
    refresh_s: float
    error_frac: float
    edge_error_j: float
    tick_s: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Cumulative joules of a component since open(), never decreasing, and what is in doubt.

    missed_j bounds what the readings so far may have missed between them, in joules. resets and
    gaps count how often a counter began anew, and how often so much time passed between two
    readings that a wrap may have gone unseen. All are cumulative too: the doubt of a window is a
    difference, like its joules.
    """

    energy_j: float
    missed_j: float = 0.0
    resets: int = 0
    gaps: int = 0


class Meter(Protocol):
    """A source of cumulative joules; calls come one at a time."""

    @property
    def components(self) -> Sequence[Component]:
        """What it measures; known once it is open, and unchanged from then on."""

    def open(self) -> None:
        """Read once, so that read() will work.

        Raises:
            MeterUnavailable: It cannot be read on this machine, with the reason.
        """

    def read(self) -> Mapping[str, Reading]:
        """A reading of every component, by its name.

        Raises:
            MeterUnavailable: A component cannot be read any more.
            OSError: As above, from the system.
        """

    def close(self) -> None:
        """Release what open() took."""
