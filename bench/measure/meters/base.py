"""What every energy meter looks like: cumulative joules per component, and how far to trust them.

A meter owns one source of joules. It is opened by a real read, so what cannot be read is known
before the clock starts, and it unwraps its counters in the same call that reads them: whoever
takes differences of its readings need not know about wraps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bench.core.labels import EnergyLabel


class MeterUnavailable(Exception):  # noqa: N818 -- says that something is missing, as the records do
    """A meter cannot be read here; the message is the reason, with a remedy where there is one."""


class MeterConfigError(ValueError):
    """The configuration of a meter contradicts itself: the user's to mend, never skipped."""


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
    integrated); None where it does not matter. max_w is more than it ever draws: readings that
    would mean more are refused; None where that is not known, or where the meter sees to it.
    least_w is less than it draws on average whenever it is switched on.
    includes names the parts whose joules are in this component as well, so that they are not added
    a second time.
    """

    name: str
    source: str
    label: EnergyLabel
    refresh_s: float
    error_frac: float
    edge_error_j: float
    tick_s: float | None = None
    max_w: float | None = None
    least_w: float = 0.0
    includes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """Cumulative joules of a component since open(), never decreasing, and what is in doubt.

    missed_j bounds what the readings so far may have missed between them, in joules. resets and
    gaps count how often a counter began anew, and how often so much time passed between two
    readings that a wrap may have gone unseen. All are cumulative too: the doubt of a window is a
    difference, like its joules.

    failure is the reason why this component cannot be read any more; energy_j then means nothing.
    """

    energy_j: float
    missed_j: float = 0.0
    resets: int = 0
    gaps: int = 0
    failure: str | None = None

    @classmethod
    def failed(cls, reason: str) -> Reading:
        """A reading that only says why there is none."""
        return cls(math.nan, failure=reason)


class Meter(Protocol):
    """A source of cumulative joules; calls come one at a time.

    Whatever a meter raises or returns is checked by bench.measure.guard, so one of a user's own
    needs no checks to be safe.
    """

    @property
    def components(self) -> Sequence[Component]:
        """What it measures; known once it is open, and unchanged from then on."""

    def open(self) -> None:
        """Read once, so that read() will work.

        Raises:
            MeterUnavailable: It cannot be read on this machine, with the reason.
        """

    def read(self) -> Mapping[str, Reading]:
        """A reading of every component, by its name; of one that has failed, the reason.

        Raises:
            MeterUnavailable: None of its components can be read any more.
            OSError: As above, from the system.
        """

    def close(self) -> None:
        """Release what open() took."""


@runtime_checkable
class GpuMeter(Protocol):
    """A meter that can be limited to the GPUs of a run; others need not have the method."""

    def choose_gpus(self, uuids: Sequence[str] | None) -> None:
        """Measure these alone; called before open().

        Args:
            uuids: Of the GPUs that the run uses; None for all that are visible.
        """


@runtime_checkable
class PartialMeter(Protocol):
    """A meter that can be open without some of what it should measure."""

    @property
    def refused(self) -> Mapping[str, str]:
        """Reasons by component, once it is open."""
