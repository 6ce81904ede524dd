"""Energy between two readings of all meters, with a bound on its error.

A window has no total if one of its components failed at either edge, or if a GPU of the run has no
meter: a sum that silently lost a part would look like a saving. The rows of the other components
remain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.core.labels import ComponentEnergy, EnergyLabel, weakest_label
from bench.core.records.energy import EnergyRow, Idle
from bench.measure.guard import is_dead
from bench.measure.meter_set import EnergyReading, MeterSet
from bench.measure.meters.base import Component, Reading

# With fewer refreshes, the two edges alone can shift the difference by more than 2%.
# Source: docs/metrics.md, "Energy".
MIN_REFRESHES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnergy:
    """Joules of a window: one row per component, and their sum without constants.

    Attributes:
        rows: One per component that was measured.
        total_j: None if any part of the total was not measured.
        label: The weakest label of the parts; None without a total.
        error_frac: Bound on the systematic error of total_j, as a share of it. The errors of the
            parts are added, since nothing says that they cancel.
    """

    rows: Sequence[EnergyRow] = ()
    total_j: float | None = None
    label: EnergyLabel | None = None
    error_frac: float | None = None


@dataclass(frozen=True, slots=True)
class EnergySum:
    """Joules of several components together, and the most by which they can be off."""

    energy_j: float
    error_j: float
    label: EnergyLabel | None

    def as_window(self, rows: Sequence[EnergyRow] = ()) -> WindowEnergy:
        """The same as the total of a window that has these rows."""
        error_frac = self.error_j / self.energy_j if self.energy_j > 0 else None
        return WindowEnergy(
            rows=rows, total_j=self.energy_j, label=self.label, error_frac=error_frac
        )


def sum_between(
    start: EnergyReading, end: EnergyReading, components: Sequence[Component]
) -> EnergySum | None:
    """Add up the joules of components; None without components, or if one is missing.

    Constants are left out, as in every total. A counter that has not moved yet counts with its
    bound until it must be dead: there may be no refresh between two readings in a row.
    """
    energy_j = error_j = 0.0
    labels: list[EnergyLabel] = []
    # One plain loop: it runs within a training, where each comprehension costs microseconds.
    for one in components:
        if one.label == "constant":
            continue
        pair = _edges(one, start, end)
        if pair is None:
            return None
        before, after = pair
        energy_j += after.energy_j - before.energy_j
        error_j += error_bound_j(one, before, after)
        labels.append(one.label)
    return EnergySum(energy_j, error_j, weakest_label(labels)) if labels else None


def energy_between(
    start: EnergyReading, end: EnergyReading, components: Sequence[Component], *, whole: bool = True
) -> WindowEnergy:
    """Compute the energy of a window from the readings at its edges.

    Args:
        start: Reading at its start.
        end: Reading at its end. A component has no row if it is missing in either reading, or if
            its counter has not moved between them; there is no total then, because nothing that is
            switched on uses nothing.
        components: What is measured.
        whole: Whether the components are all that the total needs.
    """
    length_s = end.at_s - start.at_s
    known = [(one, edges) for one in components if (edges := _edges(one, start, end))]
    moved = [(one, edges) for one, edges in known if _has_moved(one, *edges)]
    # A counter that has not moved gives no row: 0 J would look like a saving.
    rows = [_row(one, *edges, length_s) for one, edges in moved]
    total = sum_between(start, end, components) if whole and len(moved) == len(known) else None
    return WindowEnergy(rows=rows) if total is None else total.as_window(rows)


def _row(one: Component, before: Reading, after: Reading, length_s: float) -> EnergyRow:
    energy_j = after.energy_j - before.energy_j
    return EnergyRow(
        component=one.name,
        energy_j=energy_j,
        source=one.source,
        label=one.label,
        refresh_s=one.refresh_s,
        energy_error_frac=error_bound_j(one, before, after) / energy_j if energy_j > 0 else None,
        below_resolution=length_s < MIN_REFRESHES * one.refresh_s,
        counter_reset=after.resets > before.resets,
        counter_gap=after.gaps > before.gaps,
    )


def _edges(
    one: Component, start: EnergyReading, end: EnergyReading
) -> tuple[Reading, Reading] | None:
    """The readings of a component at both ends; None if they are missing or its counter is dead."""
    pair = _pair(one, start, end)
    if pair is None:
        return None
    stood_still = pair[1].energy_j <= pair[0].energy_j
    return None if stood_still and is_dead(one, end.at_s - start.at_s) else pair


def _pair(
    one: Component, start: EnergyReading, end: EnergyReading
) -> tuple[Reading, Reading] | None:
    before, after = start.by_component.get(one.name), end.by_component.get(one.name)
    return None if before is None or after is None else (before, after)


def _has_moved(one: Component, before: Reading, after: Reading) -> bool:
    """Whether a counter has moved; other sources may rightly say that nothing was used."""
    return one.label != "counter" or after.energy_j > before.energy_j


def per_item(rows: Iterable[EnergyRow], num: int) -> list[ComponentEnergy]:
    """Divide the joules of each component by a number of items, such as predictions.

    Constants are left out, and so are joules below the resolution of their counter, since those
    are not known.
    """
    return [
        ComponentEnergy(component=row.component, energy_j=row.energy_j / num, label=row.label)
        for row in rows
        if row.label != "constant" and not row.below_resolution
    ]


def error_bound_j(component: Component, before: Reading, after: Reading) -> float:
    """Bound the error of the difference of two readings: sensor, edges and gaps together."""
    # In proportion to the joules; the errors at the two edges are not.
    sensor_j = component.error_frac * (after.energy_j - before.energy_j)
    return sensor_j + component.edge_error_j + after.missed_j - before.missed_j


def idle_and_net(
    gross: WindowEnergy, length_s: float, before: WindowEnergy, after: WindowEnergy, each_s: float
) -> Idle:
    """Compute the idle power around a window, and its net energy with a bound.

    Net energy is gross - idle power x time. The idle power is the mean of both measurements. Half
    of their difference is part of its error, since nothing says how it went in between, and so are
    the bounds of the two measurements. All errors are added. The less the load stands out from the
    idle machine, the larger their share.

    Args:
        gross: Energy of the window.
        length_s: Its length.
        before: Energy of the idle machine before it.
        after: Energy of the idle machine after it.
        each_s: How long each of the two was measured.
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


@dataclass(slots=True)
class EnergyWindow:
    """The energy since start(); it can be read again and again."""

    meters: MeterSet
    _start: EnergyReading | None = field(default=None, init=False)

    def start(self) -> EnergyReading:
        """Take the baseline: the last thing before the clock starts."""
        self._start = self.meters.read()
        return self._start

    def read(self) -> WindowEnergy:
        """Return the energy since start().

        Raises:
            RuntimeError: start() was not called.
        """
        return self.until(self.meters.read())

    def until(self, end: EnergyReading) -> WindowEnergy:
        """Return the energy from start() to a reading that was taken earlier.

        Raises:
            RuntimeError: start() was not called.
        """
        # A component that has failed since `end` was read is not part of the window either.
        failed = self.meters.failed
        kept = {name: one for name, one in end.by_component.items() if name not in failed}
        kept_end = EnergyReading(end.at_s, kept)
        components, whole = self.meters.components, self.meters.whole
        return energy_between(self._baseline(), kept_end, components, whole=whole)

    def impossible(self, end: EnergyReading) -> dict[str, str]:
        """Find components whose counters hardly moved since start(), with the reason.

        Raises:
            RuntimeError: start() was not called.
        """
        start = self._baseline()
        length_s = end.at_s - start.at_s
        reasons = {
            one.name: _slowness(one, *pair, length_s)
            for one in self.meters.components
            if (pair := _pair(one, start, end))
        }
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def _baseline(self) -> EnergyReading:
        if self._start is None:
            raise RuntimeError("the energy window has not been started")
        return self._start


def _slowness(one: Component, before: Reading, after: Reading, length_s: float) -> str | None:
    """Say why the counted joules cannot be all; None if they can."""
    if not _has_moved(one, before, after):
        return f"its counter has not moved for {length_s:g} s"
    drawn_w = (after.energy_j - before.energy_j) / length_s if length_s > 0 else math.inf
    if length_s >= MIN_REFRESHES * one.refresh_s and drawn_w < one.least_w:
        return f"its counter says {drawn_w:g} W on average, which cannot be"
    return None
