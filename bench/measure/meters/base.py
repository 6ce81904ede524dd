"""What every energy meter looks like: a cumulative counter per component, and where it comes from.

A meter owns one source of joules. It is opened by a real read, so what cannot be read is known
before the clock starts, and it unwraps its counters in the same call that reads them: whoever
takes differences of its readings need not know about wraps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.core.records import EnergyLabel


class MeterUnavailable(Exception):  # noqa: N818 -- says that something is missing, as the records do
    """A meter cannot be read here; the message is the reason, with a remedy where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One part of the machine whose joules a meter gives.

    refresh_s is how often the underlying counter changes: a window of few refreshes is noise.
    """

    name: str
    source: str
    label: EnergyLabel
    refresh_s: float


class Meter(Protocol):
    """A source of cumulative joules."""

    @property
    def components(self) -> Sequence[Component]:
        """What it measures; known once it is open, and unchanged from then on."""

    def open(self) -> None:
        """Read once, so that read_j() will work.

        Raises:
            MeterUnavailable: It cannot be read on this machine, with the reason.
        """

    def read_j(self) -> Mapping[str, float]:
        """Joules of every component since open(), never decreasing.

        Raises:
            MeterUnavailable: A component cannot be read any more.
            OSError: As above, from the system.
        """

    def close(self) -> None:
        """Release what open() took."""
