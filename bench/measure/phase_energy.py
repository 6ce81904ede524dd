"""Joules by phase: joules counted between two readings belong to the phases between them.

The meters are read where a phase ends, so one phase lies between two readings. The exception is a
stretch in which no counter refreshes, such as writing one row or evaluating a small model: readings
at both of its ends would show no joules, and would take about as long as the stretch. One of them
is skipped, and such a stretch gets a share of the joules between the other readings by its time,
which is off by no more than a reading would be.

In both cases each joule is booked once, so the phases sum to the total over the clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.records.energy import PhaseEnergy
from bench.core.records.phases import Phase
from bench.measure.clock import PhaseClock, PhaseTimes
from bench.measure.energy import (
    MIN_REFRESHES,
    EnergySum,
    WindowEnergy,
    energy_between,
    sum_between,
)
from bench.measure.meter_set import EnergyReading, MeterSet
from bench.measure.meters.base import Component


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A reading where something began or ended, kept for readings.parquet.

    Attributes:
        reading: The reading.
        mark: The phase that ended, or OPEN, INIT (set-up ended), START (the clock started).
        times: Cumulative times of the phases; None if it is no edge of a phase.
    """

    reading: EnergyReading
    mark: str
    times: PhaseTimes | None


OPEN, INIT, START = "open", "init", "start"


@dataclass(slots=True)
class _Booked:
    """Joules of a phase so far.

    Attributes:
        energy_j: The joules.
        doubt_j: Bound on the error by sensors and by moments that no reading saw.
        edges: How often the error of two edges counts.
    """

    energy_j: float = 0.0
    doubt_j: float = 0.0
    edges: float = 0.0


class PhaseBook:
    """Books the joules between readings on phases; pure arithmetic.

    Attributes:
        times: Cumulative times at the last reading.
        complete: Whether every reading so far had all that the total needs.
        shortest_refresh_s: No counter refreshes within this time; infinite without a counter.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        start: EnergyReading,
        components: Sequence[Component],
        *,
        whole: bool = True,
    ) -> None:
        """Nothing is booked yet.

        Args:
            phases: The phases of the clock.
            start: Reading at the start of the clock.
            components: What is measured; constants are left out, as in every total.
            whole: Whether the components are all that the total needs.
        """
        summed = [one for one in components if one.label != "constant"]
        refreshes_s = [one.refresh_s for one in summed]
        self.times = PhaseTimes.at_start(phases)
        self.complete = whole and bool(summed)
        self.shortest_refresh_s = min(refreshes_s, default=math.inf)
        self._longest_refresh_s = max(refreshes_s, default=0.0)
        self._start = start
        self._components = components
        self._edge_error_j = sum(one.edge_error_j for one in summed)
        self._booked: Mapping[Phase, _Booked] = {phase: _Booked() for phase in phases}
        # The edges of the whole are subtracted: each stretch has its own two, counted in `edges`.
        self._total = EnergySum(0.0, self._edge_error_j, None)

    def book(self, end: EnergyReading, times: PhaseTimes, phase: Phase) -> WindowEnergy:
        """Book the joules since the last reading on the phases since then, by their time.

        Args:
            end: The reading.
            times: Cumulative times when it was taken.
            phase: The phase that ends; takes the joules if no time has passed.

        Returns:
            The energy since the start, without its rows; empty until a counter has moved.
        """
        shares = self._shares(times, phase)
        self.times = times
        total = sum_between(self._start, end, self._components) if self.complete else None
        # One missing reading, and no later joules can be booked on the right phase.
        if total is None:
            self.complete = False
            return WindowEnergy()
        for each, (share, edges) in shares.items():
            booked = self._booked[each]
            booked.energy_j += share * (total.energy_j - self._total.energy_j)
            booked.doubt_j += share * (total.error_j - self._total.error_j)
            booked.edges += edges
        self._total = total
        return total.as_window() if total.energy_j > 0 else WindowEnergy()

    def energy_j(self, phase: Phase) -> float | None:
        """Joules booked on a phase so far; None if any part was not measured."""
        return self._booked[phase].energy_j if self.complete else None

    def error_frac(self, phase: Phase) -> float | None:
        """Bound on the systematic error of a phase's joules, as a share; None without joules."""
        booked = self._booked[phase]
        bound_j = booked.doubt_j + booked.edges * self._edge_error_j
        return bound_j / booked.energy_j if booked.energy_j > 0 else None

    def below_resolution(self) -> list[Phase]:
        """Phases whose stretches hold too few refreshes on average, by the rule for a window."""
        return [
            phase
            for phase, booked in self._booked.items()
            if self.times.of(phase) < MIN_REFRESHES * self._longest_refresh_s * booked.edges
        ]

    def _shares(self, times: PhaseTimes, phase: Phase) -> dict[Phase, tuple[float, float]]:
        """Compute each phase's share of the joules, and how often the error of two edges counts.

        A phase that had all the time takes all joules, with its two edges. A phase that had t of
        the time T may have been idle while the others drew the most power, or the other way round.
        So the split alone is off by at most that power x t (1 - t/T). The error of the edges is
        that power x the refresh; hence the split counts as t (1 - t/T) / refresh of it, on top of
        the share t/T of the edges of the whole.
        """
        passed_s = {one: times.of(one) - self.times.of(one) for one in self._booked}
        whole_s = sum(passed_s.values())
        if passed_s[phase] == whole_s > 0:
            return {phase: (1.0, 1.0)}  # the usual case: the phase lay between two readings
        # Two readings within one tick of the clock.
        if whole_s <= 0:
            return {phase: (1.0, 1.0)}
        return {
            one: (
                one_s / whole_s,
                one_s / whole_s + one_s * (1 - one_s / whole_s) / self.shortest_refresh_s,
            )
            for one, one_s in passed_s.items()
            if one_s > 0
        }


class PhaseMeter:
    """Reads the meters of a window where its phases end.

    Attributes:
        book: The joules by phase so far.
        times: Cumulative times where the last phase ended.
        energy: The energy at the last reading, without its rows.
        edges: Every reading so far, with what ended there.
    """

    def __init__(self, meters: MeterSet, clock: PhaseClock) -> None:
        """Nothing is read yet.

        Args:
            meters: Of the window; open before anything is read.
            clock: Of the window.
        """
        self._meters = meters
        self._clock = clock
        self._opened: EnergyReading | None = None
        # Set-up is metered between two readings of its own, since the clock has not started.
        self._init_ended: EnergyReading | None = None
        self._init = WindowEnergy()
        self._init_s: float | None = None
        self.book = PhaseBook(clock.phases, EnergyReading(0.0, {}), [])
        self.times = self.book.times
        self.energy = WindowEnergy()
        self.edges: list[Edge] = []

    def open(self) -> None:
        """Take the reading from which set-up is metered; the meters are open."""
        self._opened = self._meters.read()
        self.keep(self._opened, OPEN)

    def end_init(self) -> None:
        """Take the reading at the end of set-up, before what only the measurement needs."""
        self._init_ended = self._meters.read()
        self.keep(self._init_ended, INIT)

    def start(self, reading: EnergyReading) -> None:
        """Begin to book phases; the clock has just started, with this reading."""
        components, whole = self._meters.components, self._meters.whole
        self.book = PhaseBook(self._clock.phases, reading, components, whole=whole)
        self.keep(reading, START, self.book.times)
        opened, ended = self._opened, self._init_ended
        # Then the joules of set-up are unknown, and not those that were seen.
        if opened is None or ended is None or unseen(opened, ended):
            return
        self._init = energy_between(opened, ended, components, whole=whole)
        self._init_s = ended.at_s - opened.at_s

    def switch(self, phase: Phase) -> WindowEnergy:
        """Read the meters, then the clock: one phase ends here, and another begins.

        Synchronise the device first if it may be busy. The time of the reading itself is booked on
        the phase that ends.

        Args:
            phase: The phase that begins.

        Returns:
            The energy since the clock's start, without its rows.
        """
        reading = self._meters.read()
        ends = self._clock.phase
        self.times = self._clock.switch(phase)
        self.keep(reading, ends, self.times)
        self.energy = self.book.book(reading, self.times, ends)
        return self.energy

    def switch_quickly(self, phase: Phase) -> WindowEnergy:
        """Do as switch(), but skip the reading if no counter can have refreshed since the last."""
        since_s = self._clock.elapsed_s() - self.book.times.total_s
        if since_s >= self.book.shortest_refresh_s:
            return self.switch(phase)
        self.times = self._clock.switch(phase)
        return self.energy

    def switch_to_brief(self, phase: Phase, expected_s: float) -> WindowEnergy:
        """Do as switch(), but skip the reading if the phase is expected to end before any refresh.

        Args:
            phase: The phase that begins; its end is read.
            expected_s: How long it will last. If it lasts longer, the bounds on the errors grow.
        """
        if expected_s >= self.book.shortest_refresh_s:
            return self.switch(phase)
        self.times = self._clock.switch(phase)
        return self.energy

    def stop(self, reading: EnergyReading, times: PhaseTimes) -> None:
        """Book the last stretch; the clock has stopped, with this reading."""
        self.keep(reading, self._clock.phase, times)
        self.book.book(reading, times, self._clock.phase)

    def keep(self, reading: EnergyReading, mark: str, times: PhaseTimes | None = None) -> None:
        """Keep a reading for readings.parquet; the arguments are those of Edge."""
        self.edges.append(Edge(reading=reading, mark=mark, times=times))

    @property
    def result(self) -> PhaseEnergy | None:
        """Joules by phase until the last reading; None if any part was not measured."""
        if not self.book.complete:
            return None
        joules: dict[str, Any] = {}
        for phase in self._clock.phases:
            joules[f"{phase}_j"] = self.book.energy_j(phase)
            joules[f"{phase}_error_frac"] = self.book.error_frac(phase)
        too_short = any(row.below_resolution for row in self._init.rows if row.label != "constant")
        return PhaseEnergy(
            init_j=self._init.total_j,
            init_metered_s=None if self._init.total_j is None else self._init_s,
            init_error_frac=self._init.error_frac,
            below_resolution=["init"] * too_short + list(self.book.below_resolution()),
            **joules,
        )


def unseen(before: EnergyReading, after: EnergyReading) -> bool:
    """Whether joules may have gone unseen between the two readings.

    Power is not sampled before the clock, so that could be all of them.
    """
    common = before.by_component.keys() & after.by_component.keys()
    return any(
        after.by_component[name].missed_j > before.by_component[name].missed_j for name in common
    )
