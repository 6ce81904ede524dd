"""Energy between two moments: all meters read together, differences with their error bound.

A component that fails at either edge, or a GPU of the run that nothing measures, leaves the window
without a total: a sum that silently lost a part would look like a saving. The rows of the other
components remain.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bench.core.labels import ComponentEnergy, EnergyLabel, weakest_label
from bench.core.records.energy import EnergyRow, Idle
from bench.measure.guard import is_dead
from bench.measure.meter_set import EnergyReading as EnergyReading
from bench.measure.meter_set import MeterSet as MeterSet
from bench.measure.meters.base import Component, Reading

# Fewer refreshes and the two edges alone can shift the difference by more than 2%.
# Source: docs/metrics.md, "Energy".
MIN_REFRESHES = 50


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
    start: EnergyReading, end: EnergyReading, components: Sequence[Component], *, whole: bool = True
) -> WindowEnergy:
    """The energy of a window from the readings at its edges.

    Args:
        start: Reading at its start.
        end: Reading at its end; a component that is missing in either, or whose counter has not
            moved in between, has no row, and takes the total with it: nothing that is switched on
            uses nothing.
        components: What is measured.
        whole: Whether that is all that the total needs.
    """
    length_s = end.at_s - start.at_s
    found = [(one, edges) for one in components if (edges := _edges(one, start, end))]
    moved = [(one, edges) for one, edges in found if _has_moved(one, *edges)]
    rows = [_row(one, *edges, length_s) for one, edges in moved]
    summed = [one for one in components if one.label != "constant"]
    total = sum_between(start, end, summed) if whole and len(moved) == len(found) else None
    if total is None:
        return WindowEnergy(rows=rows)
    total_j, error_j = total
    return WindowEnergy(
        rows=rows,
        total_j=total_j,
        label=weakest_label(one.label for one in summed),
        error_frac=error_j / total_j if total_j > 0 else None,
    )


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
    """The readings of a component at both ends; None where they are no measurement."""
    both = _both(one, start, end)
    if both is None:
        return None
    stood_still = both[1].energy_j <= both[0].energy_j
    return None if stood_still and is_dead(one, end.at_s - start.at_s) else both


def _both(
    one: Component, start: EnergyReading, end: EnergyReading
) -> tuple[Reading, Reading] | None:
    before, after = start.by_component.get(one.name), end.by_component.get(one.name)
    return None if before is None or after is None else (before, after)


def _has_moved(one: Component, before: Reading, after: Reading) -> bool:
    """Whether a counter has moved; anything else may well say that nothing was used."""
    return one.label != "counter" or after.energy_j > before.energy_j


def per_item(rows: Iterable[EnergyRow], num: int) -> list[ComponentEnergy]:
    """Joules of each component over a number of items, such as predictions.

    Constants are left out, and so is what lies below its resolution: it is not known.
    """
    return [
        ComponentEnergy(component=row.component, energy_j=row.energy_j / num, label=row.label)
        for row in rows
        if row.label != "constant" and not row.below_resolution
    ]


def sum_between(
    start: EnergyReading, end: EnergyReading, components: Sequence[Component]
) -> tuple[float, float] | None:
    """Joules of all components together and their bound; None for none, or if one is missing.

    A counter that has not moved yet counts with its bound, until it must be dead: between two
    readings in a row there may be no refresh.
    """
    total_j = error_j = 0.0
    for one in components:
        edges = _edges(one, start, end)
        if edges is None:
            return None
        before, after = edges
        total_j += after.energy_j - before.energy_j
        error_j += error_bound_j(one, before, after)
    return (total_j, error_j) if components else None


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
        start = self._begun()
        # What has failed since the end was read is no part of the window either.
        failed = self.meters.failed
        kept = {name: one for name, one in end.by_component.items() if name not in failed}
        kept_end = EnergyReading(end.at_s, kept)
        return energy_between(start, kept_end, self.meters.components, whole=self.meters.whole)

    def impossible(self, end: EnergyReading) -> dict[str, str]:
        """Components whose counters have not moved since start(), or hardly, with the reason.

        Raises:
            RuntimeError: start() was not called.
        """
        start = self._begun()
        length_s = end.at_s - start.at_s
        reasons = {
            one.name: _slowness(one, *both, length_s)
            for one in self.meters.components
            if (both := _both(one, start, end))
        }
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def _begun(self) -> EnergyReading:
        if self._start is None:
            raise RuntimeError("the energy window has not been started")
        return self._start


def _slowness(one: Component, before: Reading, after: Reading, length_s: float) -> str | None:
    """Why what was counted cannot be all; None where it can."""
    if not _has_moved(one, before, after):
        return f"its counter has not moved for {length_s:g} s"
    drawn_w = (after.energy_j - before.energy_j) / length_s if length_s > 0 else math.inf
    if length_s >= MIN_REFRESHES * one.refresh_s and drawn_w < one.least_w:
        return f"its counter says {drawn_w:g} W on average, which cannot be"
    return None
