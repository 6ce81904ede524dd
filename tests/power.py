"""Power curves with an exact integral, and the counters and readings that hardware would show.

The fake powercap tree (tests/fake_powercap.py) and the fake NVML library (tests/fake_nvml.py) are
driven by these; the meters read them through the real files and the real pynvml.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


class PowerCurve:
    """Watts over time: straight lines between points, which may jump; constant outside them."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        """Take the points.

        Args:
            points: (seconds, watts) in order of time; two at the same time are a jump.
        """
        self._times_s = [time_s for time_s, _ in points]
        self._watts = [watts for _, watts in points]
        areas = ((t1 - t0) * (w0 + w1) / 2 for (t0, w0), (t1, w1) in itertools.pairwise(points))
        self._joules = list(itertools.accumulate(areas, initial=0.0))
        self.max_w = max(self._watts)

    def power_w(self, time_s: float) -> float:
        """Watts at a moment; at a jump those after it."""
        i = bisect.bisect_right(self._times_s, time_s)
        if i == 0:
            return self._watts[0]
        if i == len(self._times_s):
            return self._watts[-1]
        t0, t1 = self._times_s[i - 1], self._times_s[i]
        share = (time_s - t0) / (t1 - t0)
        return self._watts[i - 1] + share * (self._watts[i] - self._watts[i - 1])

    def energy_j(self, start_s: float, end_s: float) -> float:
        """The exact integral."""
        return self._until(end_s) - self._until(start_s)

    def _until(self, time_s: float) -> float:
        i = bisect.bisect_right(self._times_s, time_s)
        if i == 0:
            return (time_s - self._times_s[0]) * self._watts[0]
        elapsed_s = time_s - self._times_s[i - 1]
        # power_w() gives the far end of the line on which this moment lies.
        return self._joules[i - 1] + elapsed_s * (self._watts[i - 1] + self.power_w(time_s)) / 2


def constant(watts: float) -> PowerCurve:
    """Always the same."""
    return PowerCurve([(0.0, watts)])


def step(before_w: float, after_w: float, at_s: float) -> PowerCurve:
    """One jump."""
    return PowerCurve([(0.0, before_w), (at_s, before_w), (at_s, after_w)])


def ramp(start_w: float, end_w: float, length_s: float) -> PowerCurve:
    """A straight line, then constant."""
    return PowerCurve([(0.0, start_w), (length_s, end_w)])


def square_wave(low_w: float, high_w: float, period_s: float, length_s: float) -> PowerCurve:
    """High for the first half of each period, low for the second."""
    points: list[tuple[float, float]] = []
    for i in range(math.ceil(length_s / period_s)):
        start_s, middle_s, end_s = i * period_s, (i + 0.5) * period_s, (i + 1) * period_s
        points += [(start_s, high_w), (middle_s, high_w), (middle_s, low_w), (end_s, low_w)]
    return PowerCurve(points)


@dataclass(frozen=True, slots=True)
class EnergyCounter:
    """A counter of joules as hardware has it: refreshed now and then, in whole steps, wrapping.

    With refresh_s 0 it is exact in time, with step_j 0 in value, with range_j None it never wraps.
    offset_j is what it shows at time 0. At reset_s it starts again from zero. From the first to the
    second moment of held_s it is not refreshed.
    """

    curve: PowerCurve
    refresh_s: float = 0.0
    step_j: float = 0.0
    range_j: float | None = None
    offset_j: float = 0.0
    reset_s: float | None = None
    held_s: tuple[float, float] | None = None

    def joules(self, time_s: float) -> float:
        """What it shows at a moment."""
        seen_s = time_s
        if self.held_s is not None and self.held_s[0] <= time_s < self.held_s[1]:
            seen_s = self.held_s[0]
        if self.refresh_s:
            seen_s = math.floor(seen_s / self.refresh_s) * self.refresh_s
        if self.reset_s is not None and seen_s >= self.reset_s:
            energy_j = self.curve.energy_j(self.reset_s, seen_s)
        else:
            energy_j = self.offset_j + self.curve.energy_j(0.0, seen_s)
        if self.step_j:
            energy_j = math.floor(energy_j / self.step_j) * self.step_j
        return energy_j if self.range_j is None else energy_j % self.range_j


@dataclass(frozen=True, slots=True)
class PowerSensor:
    """A power sensor that shows, since its last refresh, the mean over a time before it.

    averaged_s is shorter than refresh_s where the sensor is blind for the rest (25 of every 100 ms
    on some data-centre cards).
    """

    curve: PowerCurve
    refresh_s: float
    averaged_s: float

    def watts(self, time_s: float) -> float:
        """What it shows at a moment."""
        seen_s = math.floor(time_s / self.refresh_s) * self.refresh_s
        return self.curve.energy_j(seen_s - self.averaged_s, seen_s) / self.averaged_s
