"""The interface of energy meters: cumulative joules per component, and how far to trust them.

A meter owns one source of joules. open() reads it once, so what cannot be read is known before the
clock starts. read() also unwraps counters, so its callers can take differences without knowing of
wraps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from bench.core.labels import EnergyLabel


class MeterUnavailable(Exception):  # noqa: N818 -- says that something is missing, as the records do
    """A meter cannot be read here; the message gives the reason and the remedy, if any."""


class MeterConfigError(ValueError):
    """The configuration of a meter contradicts itself. The user has to mend it; it ends the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of the machine whose joules a meter measures.

    Attributes:
        name: A part and its number ("cpu0", "dram1", "gpu0"), or "cpu" for all processors together.
            If two meters measure the same part, only one counts.
        source: Where the joules come from; stored in the record.
        label: How they are obtained.
        refresh_s: Time between changes of the underlying counter. A window of few refreshes is
            noise.
        error_frac: Bound on the error of the sensor or model, as a share of what it reads.
        edge_error_j: Bound on the error of both edges of a window together: a counter shows what
            was true at its last refresh.
        tick_s: Longest time that may pass between two readings, because a counter wraps or power
            is integrated; None if any time will do.
        max_w: More power than the component ever draws. Readings that would mean more are refused.
            None if that is unknown, or if the meter checks it itself.
        least_w: Less power than the component draws on average while it is switched on.
        includes: Parts whose joules this component includes, so that they are not added twice.
        range_j: Value at which its counter wraps; None if it has none, or one that does not wrap.
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
    range_j: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Cumulative joules of a component since open(), with bounds on what was missed.

    All numbers are cumulative, so that the doubt of a window is a difference, like its joules.

    Attributes:
        energy_j: Joules; they never decrease.
        missed_j: Bound on the joules that the readings so far may have missed.
        resets: How often the counter began anew.
        gaps: How often a wrap may have gone unseen, because readings were too far apart.
        failure: Why the component cannot be read any more; energy_j then means nothing.
        shown_j: What its counter itself showed; None if the joules are not those of a counter.
    """

    energy_j: float
    missed_j: float = 0.0
    resets: int = 0
    gaps: int = 0
    failure: str | None = None
    shown_j: float | None = field(default=None, compare=False)  # equal joules are equal

    @classmethod
    def failed(cls, reason: str) -> Reading:
        """Make a reading that only gives the reason of a failure."""
        return cls(math.nan, failure=reason)


class Meter(Protocol):
    """A source of cumulative joules; calls never overlap.

    bench.measure.guard checks whatever a meter raises or returns, so a user's own meter needs no
    checks.
    """

    @property
    def components(self) -> Sequence[Component]:
        """What the meter measures; known once it is open, and unchanged from then on."""

    def open(self) -> None:
        """Read once, so that read() will work.

        Raises:
            MeterUnavailable: The meter cannot be read on this machine, with the reason.
        """

    def read(self) -> Mapping[str, Reading]:
        """Read every component, by its name; for one that has failed, give the reason.

        Raises:
            MeterUnavailable: No component can be read any more.
            OSError: The same, from the system.
        """

    def close(self) -> None:
        """Release what open() acquired."""


@runtime_checkable
class GpuMeter(Protocol):
    """A meter that can be limited to the GPUs of a run; other meters need not have the method."""

    def choose_gpus(self, uuids: Sequence[str] | None) -> None:
        """Measure only these GPUs; called before open().

        Args:
            uuids: UUIDs of the GPUs that the run uses; None for all visible ones.
        """


@runtime_checkable
class PartialMeter(Protocol):
    """A meter that can be open although some of its components cannot be measured."""

    @property
    def refused(self) -> Mapping[str, str]:
        """Reasons by component, known once the meter is open."""
