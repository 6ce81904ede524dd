"""Energy between two moments: all meters read together, differences with their error bound.

The set of components is settled when the meters are opened and never changes: a total whose parts
come and go compares with nothing. A meter that cannot be opened is listed with its reason and the
run goes on without it. A meter that fails later takes the total of every window that it fails in:
a sum that silently lost a part would look like a saving. The rows of the other components remain.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import get_args

from bench.core.labels import EnergyLabel
from bench.core.records import EnergyRow, Idle, UnavailableMeter
from bench.measure.clock import Clock
from bench.measure.meters.base import Component, Meter, MeterUnavailable, Reading

# Fewer refreshes and the two edges alone can shift the difference by more than 2%.
# Source: docs/metrics.md, "Energy".
MIN_REFRESHES = 50

_STRENGTH: tuple[EnergyLabel, ...] = get_args(EnergyLabel)  # from the strongest to the weakest


def weakest_label(labels: Iterable[EnergyLabel]) -> EnergyLabel | None:
    """The label that a sum of parts with these labels deserves; None for no parts."""
    return max(labels, key=_STRENGTH.index, default=None)


@dataclass(frozen=True, slots=True)
class EnergyReading:
    """All meters at one moment; a component whose meter failed is missing."""

    at_s: float
    by_component: Mapping[str, Reading]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnergy:
    """Joules of a window: one row per component, and their sum without constants.

    total_j, label and error_frac are None where nothing, or not all, was measured. error_frac
    bounds the systematic error of total_j, as a share of it; errors of components are added, not
    averaged: nothing says that they cancel.
    """

    rows: Sequence[EnergyRow] = ()
    total_j: float | None = None
    label: EnergyLabel | None = None
    error_frac: float | None = None


def energy_between(
    start: EnergyReading, end: EnergyReading, components: Sequence[Component]
) -> WindowEnergy:
    """The energy of a window from the readings at its edges.

    Args:
        start: Reading at its start; a component that is missing here is not part of the window.
        end: Reading at its end; one that is missing only here takes the total with it.
        components: What is measured.
    """
    measured = [one for one in components if one.name in start.by_component]
    length_s = end.at_s - start.at_s
    rows: list[EnergyRow] = []
    total_j = error_j = 0.0
    for one in measured:
        after = end.by_component.get(one.name)
        if after is None:
            continue
        before = start.by_component[one.name]
        energy_j = after.energy_j - before.energy_j
        bound_j = error_bound_j(one, before, after)
        rows.append(
            EnergyRow(
                component=one.name,
                energy_j=energy_j,
                source=one.source,
                label=one.label,
                refresh_s=one.refresh_s,
                energy_error_frac=bound_j / energy_j if energy_j > 0 else None,
                below_resolution=length_s < MIN_REFRESHES * one.refresh_s,
                counter_reset=after.resets > before.resets,
                counter_gap=after.gaps > before.gaps,
            )
        )
        if one.label != "constant":
            total_j += energy_j
            error_j += bound_j
    summed = [one for one in measured if one.label != "constant"]
    if not summed or any(one.name not in end.by_component for one in summed):
        return WindowEnergy(rows=rows)
    return WindowEnergy(
        rows=rows,
        total_j=total_j,
        label=weakest_label(one.label for one in summed),
        error_frac=error_j / total_j if total_j > 0 else None,
    )


def error_bound_j(component: Component, before: Reading, after: Reading) -> float:
    """The most joules by which the difference of two readings is off: sensor, edges, gaps."""
    sensor_j = component.error_frac * (after.energy_j - before.energy_j)
    return sensor_j + component.edge_error_j + after.missed_j - before.missed_j


def idle_and_net(
    gross: WindowEnergy, length_s: float, before: WindowEnergy, after: WindowEnergy, each_s: float
) -> Idle:
    """Idle power around a window and its net energy, gross - idle power x time, with its bound.

    The idle power taken is the mean of both; half of their difference is part of its error, since
    nothing says how it went in between, and so are the bounds of the two readings. All errors are
    added. The less the load stands out from the idle machine, the larger the share.

    Args:
        gross: Energy of the window.
        length_s: Its length.
        before: Energy of the idle machine before it.
        after: And after it.
        each_s: For how long each of them was measured.
    """
    totals = (gross.total_j, before.total_j, after.total_j)
    errors = (gross.error_frac, before.error_frac, after.error_frac)
    if any(value is None for value in (*totals, *errors)):
        return Idle(each_s=each_s)
    gross_j, before_j, after_j = (float(value or 0.0) for value in totals)
    gross_frac, before_frac, after_frac = (float(value or 0.0) for value in errors)
    before_w, after_w = before_j / each_s, after_j / each_s
    net_j = gross_j - (before_w + after_w) / 2 * length_s
    idle_error_w = (abs(before_w - after_w) + before_w * before_frac + after_w * after_frac) / 2
    error_j = gross_j * gross_frac + idle_error_w * length_s
    return Idle(
        each_s=each_s,
        before_w=before_w,
        after_w=after_w,
        net_energy_j=net_j,
        net_error_frac=error_j / net_j if net_j > 0 else None,
    )


class MeterSet:
    """Meters that are read together, from any thread."""

    def __init__(
        self,
        meters: Mapping[str, Meter],
        *,
        required: bool = False,
        clock: Clock = time.perf_counter,
    ) -> None:
        """Nothing is read yet.

        Args:
            meters: By name; of two that measure the same part of the machine the one with the
                stronger label counts, then the one named first.
            required: Whether a meter that cannot be opened is an error.
            clock: Monotonic seconds.
        """
        self.unavailable: list[UnavailableMeter] = []
        self.components: Sequence[Component] = ()
        self._configured = meters
        self._required = required
        self._clock = clock
        self._open: dict[str, Meter] = {}
        self._by_meter: dict[str, list[Component]] = {}
        self._stack = ExitStack()
        self._lock = threading.Lock()

    @property
    def refresh_s(self) -> float | None:
        """Seconds between updates of the slowest counter in the total; None without one."""
        summed = (c for c in self.components if c.label != "constant")
        return max((component.refresh_s for component in summed), default=None)

    @property
    def tick_s(self) -> float | None:
        """Seconds within which tick() is to be called again and again; None if it need not be."""
        return min((c.tick_s for c in self.components if c.tick_s is not None), default=None)

    def open(self) -> None:
        """Open every meter and settle which components are measured; slow, before the clock.

        Raises:
            MeterUnavailable: A meter cannot be opened, and they are required.
        """
        for name, meter in self._configured.items():
            try:
                meter.open()
            except (MeterUnavailable, OSError) as error:
                if self._required:
                    self.close()
                    raise MeterUnavailable(f"{name}: {error}") from error
                self._refuse(name, str(error))
                continue
            self._stack.callback(meter.close)
            self._open[name] = meter
        self._settle()

    def read(self) -> EnergyReading:
        """One reading of all components that can still be read."""
        with self._lock:
            found: dict[str, Reading] = {}
            for name in list(self._open):
                readings = self._read_one(name)
                found |= {c.name: readings[c.name] for c in self._by_meter[name] if readings}
            return EnergyReading(self._clock(), found)

    def tick(self) -> None:
        """Read the meters that must be read now and then; for the sampler's thread."""
        with self._lock:
            for name in list(self._open):
                if any(component.tick_s is not None for component in self._by_meter[name]):
                    self._read_one(name)

    @property
    def complete(self) -> bool:
        """Whether every meter that was settled on can still be read."""
        return self._by_meter.keys() <= self._open.keys()

    def close(self) -> None:
        """Close the meters, each of them even when another fails to."""
        self._stack.close()

    def _settle(self) -> None:
        """One meter per part: two sources of the same joules must not be added."""
        chosen: dict[str, str] = {}
        candidates = [(name, c) for name, meter in self._open.items() for c in meter.components]
        # Sorting is stable, so meters of equal strength stay in the order of the configuration.
        for name, component in sorted(candidates, key=lambda pair: _STRENGTH.index(pair[1].label)):
            chosen.setdefault(_part(component), name)
        for name, meter in list(self._open.items()):
            kept = [c for c in meter.components if chosen[_part(c)] == name]
            if kept:
                self._by_meter[name] = kept
            else:
                parts = {
                    _part(component): chosen[_part(component)] for component in meter.components
                }
                by = ", ".join(f"{part} is measured by {other}" for part, other in parts.items())
                self._refuse(name, by)
                del self._open[name]
        self.components = [c for kept in self._by_meter.values() for c in kept]

    def _read_one(self, name: str) -> Mapping[str, Reading]:
        """Its readings; none, and it is read no more, when it fails."""
        try:
            return self._open[name].read()
        except (MeterUnavailable, OSError) as error:
            self._refuse(name, f"failed while measuring: {error}")
            del self._open[name]  # Not closed yet: close() does that, off the clock.
            return {}

    def _refuse(self, name: str, reason: str) -> None:
        self.unavailable.append(UnavailableMeter(meter=name, reason=reason))


def _part(component: Component) -> str:
    """The part of the machine: processors and memory as a whole, each GPU by itself."""
    match = re.match(r"gpu\d+|[a-z]+", component.name)
    return match.group() if match else component.name


@dataclass(slots=True)
class EnergyWindow:
    """The energy since start(), to be read again and again."""

    meters: MeterSet
    _start: EnergyReading | None = field(default=None, init=False)

    def start(self) -> EnergyReading:
        """Take the baseline: the last thing before the clock starts."""
        self._start = self.meters.read()
        return self._start

    def read(self) -> WindowEnergy:
        """Energy since start().

        Raises:
            RuntimeError: start() was not called.
        """
        return self.until(self.meters.read())

    def until(self, end: EnergyReading) -> WindowEnergy:
        """Energy from start() to a reading that was taken.

        Raises:
            RuntimeError: start() was not called.
        """
        if self._start is None:
            raise RuntimeError("the energy window has not been started")
        return energy_between(self._start, end, self.meters.components)
