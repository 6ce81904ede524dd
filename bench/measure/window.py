"""The energy of a run: cumulative joules over all meters between two moments.

The set of components is settled at the start and never changes: a total whose parts come and go
compares with nothing. A meter that cannot be opened is listed with its reason and the run goes on
without it. A meter that fails later takes the total with it: from then on total_j() is None,
because a sum that silently lost a part would look like a saving. The rows of the other components
remain.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import get_args

from bench.core.records import EnergyLabel, EnergyRow, UnavailableMeter
from bench.measure.clock import Clock
from bench.measure.meters.base import Component, Meter, MeterUnavailable

# Fewer refreshes and the two edges alone can shift the difference by more than 2%.
# Source: docs/metrics.md, "Energy".
MIN_REFRESHES = 50

_STRENGTH: tuple[EnergyLabel, ...] = get_args(EnergyLabel)  # from the strongest to the weakest


def weakest_label(labels: Iterable[EnergyLabel]) -> EnergyLabel | None:
    """The label that a sum of parts with these labels deserves; None for no parts."""
    return max(labels, key=_STRENGTH.index, default=None)


@dataclass(slots=True)
class _Channel:
    """One component of one meter, with its joules at the start and at the last reading."""

    meter: str
    component: Component
    baseline_j: float = 0.0
    last_j: float = 0.0


class EnergyWindow:
    """Reads all meters together; open() before the clock, start() right before it starts."""

    def __init__(self, meters: Mapping[str, Meter], clock: Clock = time.perf_counter) -> None:
        """Nothing is read yet.

        Args:
            meters: By the name under which they are configured; of two that measure the same
                component the one with the stronger label counts, then the one named first.
            clock: Monotonic seconds, for the length of the window.
        """
        self.unavailable: list[UnavailableMeter] = []
        self._configured = meters
        self._clock = clock
        self._open: dict[str, Meter] = {}
        self._channels: list[_Channel] = []
        self._stack = ExitStack()
        self._started_s: float | None = None
        self._read_s: float | None = None
        self._broken = False

    @property
    def label(self) -> EnergyLabel | None:
        """The weakest label in the total; None where there is no total."""
        return None if self._broken else weakest_label(c.component.label for c in self._summed())

    @property
    def refresh_s(self) -> float | None:
        """Seconds between updates of the slowest counter in the total; None without one."""
        return max((channel.component.refresh_s for channel in self._summed()), default=None)

    def open(self) -> None:
        """Open every meter and settle which components are measured; slow, before the clock."""
        for name, meter in self._configured.items():
            try:
                meter.open()
            except (MeterUnavailable, OSError) as error:
                self._refuse(name, str(error))
                continue
            self._stack.callback(meter.close)
            self._open[name] = meter
        candidates = [
            _Channel(name, component)
            for name, meter in self._open.items()
            for component in meter.components
        ]
        self._channels = self._strongest(candidates)
        for name in list(self._open):
            if all(channel.meter != name for channel in self._channels):
                del self._open[name]

    def start(self) -> None:
        """Take the baseline: the last thing before the clock starts.

        A meter that fails here is left out, as if it had failed to open.
        """
        self._read()
        self._broken = False
        for channel in self._channels:
            channel.baseline_j = channel.last_j
        self._started_s = self._clock()

    def total_j(self) -> float | None:
        """Joules since start(), without constants; None where nothing or not all was measured.

        Raises:
            RuntimeError: start() was not called.
        """
        if self._started_s is None:
            raise RuntimeError("the energy window has not been started")
        self._read()
        self._read_s = self._clock()
        summed = self._summed()
        if self._broken or not summed:
            return None
        return sum(channel.last_j - channel.baseline_j for channel in summed)

    def rows(self) -> list[EnergyRow]:
        """One row per component as of the last total_j(), constants included; reads nothing."""
        if self._started_s is None or self._read_s is None:
            return []
        length_s = self._read_s - self._started_s
        return [
            EnergyRow(
                component=channel.component.name,
                energy_j=channel.last_j - channel.baseline_j,
                source=channel.component.source,
                label=channel.component.label,
                below_resolution=length_s < MIN_REFRESHES * channel.component.refresh_s,
            )
            for channel in self._channels
        ]

    def close(self) -> None:
        """Close the meters, each of them even when another fails to."""
        self._stack.close()

    def _summed(self) -> list[_Channel]:
        return [channel for channel in self._channels if channel.component.label != "constant"]

    def _strongest(self, candidates: list[_Channel]) -> list[_Channel]:
        """One channel per component: two sources of the same joules must not be added."""
        kept: dict[str, _Channel] = {}
        # Sorting is stable, so meters of equal strength stay in the order of the configuration.
        for channel in sorted(candidates, key=lambda c: _STRENGTH.index(c.component.label)):
            name = channel.component.name
            if name not in kept:
                kept[name] = channel
            elif kept[name].meter != channel.meter:
                self._refuse(channel.meter, f"{name} is measured by {kept[name].meter}")
        return list(kept.values())

    def _read(self) -> None:
        for name, meter in list(self._open.items()):
            try:
                joules = meter.read_j()
            except (MeterUnavailable, OSError) as error:
                self._lose(name, f"failed while measuring: {error}")
                continue
            for channel in self._channels:
                if channel.meter == name:
                    channel.last_j = joules[channel.component.name]

    def _lose(self, name: str, reason: str) -> None:
        self._refuse(name, reason)
        lost = [channel for channel in self._summed() if channel.meter == name]
        self._broken = self._broken or bool(lost)
        self._channels = [channel for channel in self._channels if channel.meter != name]
        del self._open[name]  # Not closed yet: close() does that, off the clock.

    def _refuse(self, name: str, reason: str) -> None:
        self.unavailable.append(UnavailableMeter(meter=name, reason=reason))
