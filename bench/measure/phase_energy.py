"""Joules by phase: what the meters counted between two readings belongs to the phases in between.

The meters are read where a phase ends, so one phase lies between two readings. The exception is a
stretch in which no counter refreshes, such as writing down one row: a reading at its end could not
tell it from nothing, and takes about as long. Its share of the joules until the next reading is
that of its time, which is off by no more than a reading would be.

In either case each joule is booked once: the phases sum to the total over the clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from bench.core.labels import weakest_label
from bench.core.records.energy import PhaseEnergy
from bench.measure.clock import AT_START, Phase, PhaseClock, PhaseTimes
from bench.measure.energy import (
    MIN_REFRESHES,
    EnergyReading,
    MeterSet,
    WindowEnergy,
    energy_between,
    sum_between,
)
from bench.measure.meters.base import Component

_PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(slots=True)
class _Booked:
    """Joules of a phase so far.

    doubt_j bounds what sensors and unseen moments make of them. edges counts by how many times the
    error of two edges they may be off.
    """

    energy_j: float = 0.0
    doubt_j: float = 0.0
    edges: float = 0.0


class PhaseBook:
    """Books the joules between readings on phases; pure arithmetic.

    Attributes:
        times: Cumulative times at the last reading.
        complete: Whether all that the total needs has been there in every reading.
        shortest_refresh_s: Within this no counter refreshes; infinite where there is none.
    """

    def __init__(
        self, start: EnergyReading, components: Sequence[Component], *, whole: bool = True
    ) -> None:
        """Nothing is booked yet.

        Args:
            start: Reading at the start of the clock.
            components: What is measured; constants are left out, as in every total.
            whole: Whether that is all that the total needs.
        """
        self._start = start
        self._summed = [c for c in components if c.label != "constant"]
        refreshes_s = [component.refresh_s for component in self._summed]
        self.times = AT_START
        self.complete = whole and bool(self._summed)
        self.shortest_refresh_s = min(refreshes_s, default=math.inf)
        self._longest_refresh_s = max(refreshes_s, default=0.0)
        self._label = weakest_label(component.label for component in self._summed)
        self._edge_error_j = sum(component.edge_error_j for component in self._summed)
        self._booked: Mapping[Phase, _Booked] = {phase: _Booked() for phase in _PHASES}
        self._total_j = 0.0
        self._bound_j = self._edge_error_j

    def book(self, end: EnergyReading, times: PhaseTimes, phase: Phase) -> WindowEnergy:
        """Book the joules since the last reading on the phases since then, by their time.

        Args:
            end: The reading.
            times: Cumulative times when it was taken.
            phase: The phase that ends; takes the joules where no time has passed.

        Returns:
            The energy since the start, without its rows; nothing before a counter has moved.
        """
        shares = self._shares(times, phase)
        self.times = times
        total = sum_between(self._start, end, self._summed) if self.complete else None
        if total is None:
            self.complete = False
            return WindowEnergy()
        total_j, bound_j = total
        for each, (share, edges) in shares.items():
            booked = self._booked[each]
            booked.energy_j += share * (total_j - self._total_j)
            booked.doubt_j += share * (bound_j - self._bound_j)
            booked.edges += edges
        self._total_j, self._bound_j = total_j, bound_j
        if total_j <= 0:
            return WindowEnergy()
        return WindowEnergy(total_j=total_j, label=self._label, error_frac=bound_j / total_j)

    def energy_j(self, phase: Phase) -> float | None:
        """Joules booked on a phase so far; None where not all was measured."""
        return self._booked[phase].energy_j if self.complete else None

    def error_frac(self, phase: Phase) -> float | None:
        """Bound of the systematic error of a phase's joules, as a share of them; None for none."""
        booked = self._booked[phase]
        bound_j = booked.doubt_j + booked.edges * self._edge_error_j
        return bound_j / booked.energy_j if booked.energy_j > 0 else None

    def below_resolution(self) -> list[Phase]:
        """Phases whose stretches are on average too few refreshes of a counter, as of a window."""
        return [
            phase
            for phase, booked in self._booked.items()
            if _of(phase, self.times) < MIN_REFRESHES * self._longest_refresh_s * booked.edges
        ]

    def _shares(self, times: PhaseTimes, phase: Phase) -> dict[Phase, tuple[float, float]]:
        """Which share of the joules each phase takes, and how many times the error of the edges.

        A phase that had all the time takes all, with its two edges. One that had t of the time T
        may have been idle meanwhile, or the others may have been, while the most power flowed:
        the split alone is off by at most that power x t (1 - t/T). The error of the edges is that
        power x the refresh, so this is t (1 - t/T) / refresh of it, beside the share t/T of the
        edges of the whole.
        """
        spent_s = {one: _of(one, times) - _of(one, self.times) for one in _PHASES}
        whole_s = sum(spent_s.values())
        if whole_s <= 0:
            return {phase: (1.0, 1.0)}
        return {
            one: (
                one_s / whole_s,
                one_s / whole_s + one_s * (1 - one_s / whole_s) / self.shortest_refresh_s,
            )
            for one, one_s in spent_s.items()
            if one_s > 0
        }


def _of(phase: Phase, times: PhaseTimes) -> float:
    """Seconds of a phase."""
    if phase == "train":
        return times.train_s
    return times.eval_s if phase == "eval" else times.checkpoint_s


class PhaseMeter:
    """Reads the meters of a window where its phases end."""

    def __init__(self, meters: MeterSet, clock: PhaseClock) -> None:
        """Nothing is read yet.

        Args:
            meters: Of the window; open before anything is read.
            clock: Of the window.
        """
        self._meters = meters
        self._clock = clock
        self._opened: EnergyReading | None = None
        self._init_ended: EnergyReading | None = None
        self._init = WindowEnergy()
        self._init_s: float | None = None
        self._book = PhaseBook(EnergyReading(0.0, {}), [])

    def open(self) -> None:
        """The meters are open: set-up is metered from here on."""
        self._opened = self._meters.read()

    def end_init(self) -> None:
        """Set-up ends here; before what is done for the measurement alone, and the clock."""
        self._init_ended = self._meters.read()

    def start(self, reading: EnergyReading) -> None:
        """The clock has just been started, with this reading."""
        components, whole = self._meters.components, self._meters.whole
        self._book = PhaseBook(reading, components, whole=whole)
        opened, ended = self._opened, self._init_ended
        if opened is None or ended is None or _unseen(opened, ended):
            return
        self._init = energy_between(opened, ended, components, whole=whole)
        self._init_s = ended.at_s - opened.at_s

    def switch(self, phase: Phase) -> WindowEnergy:
        """Read the meters, then the clock: the phase ends here, and another begins.

        Synchronise the device first where it may be at work. What the reading itself takes is
        booked on the phase that ends.

        Args:
            phase: The one that begins.

        Returns:
            The energy since the clock's start, without its rows.
        """
        reading = self._meters.read()
        ends = self._clock.phase
        return self._book.book(reading, self._clock.switch(phase), ends)

    def switch_quickly(self, phase: Phase) -> None:
        """As switch(); without a reading where no counter has refreshed since the last one."""
        since_s = self._clock.elapsed_s() - self._book.times.total_s
        if since_s < self._book.shortest_refresh_s:
            self._clock.switch(phase)
        else:
            self.switch(phase)

    def stop(self, reading: EnergyReading, times: PhaseTimes) -> None:
        """The clock has been stopped, with this reading."""
        self._book.book(reading, times, self._clock.phase)

    def discard(self) -> None:
        """Something has contradicted the joules: none of them count."""
        self._book.complete = False

    @property
    def times(self) -> PhaseTimes:
        """Cumulative times at the last reading."""
        return self._book.times

    def energy_j(self, phase: Phase) -> float | None:
        """Joules of a phase until the last reading; None where not all was measured."""
        return self._book.energy_j(phase)

    @property
    def result(self) -> PhaseEnergy | None:
        """Joules by phase until the last reading; None where not all was measured."""
        train_j, eval_j, checkpoint_j = (self._book.energy_j(phase) for phase in _PHASES)
        if train_j is None or eval_j is None or checkpoint_j is None:
            return None
        too_short = any(row.below_resolution for row in self._init.rows if row.label != "constant")
        return PhaseEnergy(
            init_j=self._init.total_j,
            train_j=train_j,
            eval_j=eval_j,
            checkpoint_j=checkpoint_j,
            init_metered_s=None if self._init.total_j is None else self._init_s,
            init_error_frac=self._init.error_frac,
            train_error_frac=self._book.error_frac("train"),
            eval_error_frac=self._book.error_frac("eval"),
            checkpoint_error_frac=self._book.error_frac("checkpoint"),
            below_resolution=["init"] * too_short + list(self._book.below_resolution()),
        )


def _unseen(before: EnergyReading, after: EnergyReading) -> bool:
    """Whether joules may have gone unseen between the two.

    Power is not sampled before the clock: what that missed can be all there was.
    """
    common = before.by_component.keys() & after.by_component.keys()
    return any(
        after.by_component[name].missed_j > before.by_component[name].missed_j for name in common
    )
