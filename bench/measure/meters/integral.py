"""Integrates the power of a GPU over its samples, by the trapezoid rule.

Lag: a sensor shows the mean power of the previous refresh until the next one, so the integral lags
behind the energy by about one refresh at the power shown. That much is added. Between two refreshes
this assumes that power has not changed since the last one; the error is at most the part of a
refresh that has passed, at the maximum power. Two edges therefore count as two refreshes. The sum
would fall if power falls; it is held instead, which makes the error no larger.

Doubt: between two samples less than a refresh apart, power jumps at most once, at an unknown
moment, so half of the jump times the time between is in doubt. Between samples farther apart, whole
refreshes may have gone unseen, with any power up to the maximum. A sensor that looks only part of
the time can be off by any possible power for the rest.
"""

from __future__ import annotations

from bench.measure.clock import Clock
from bench.measure.gpu import Gpu
from bench.measure.meters.base import Component, Reading
from bench.measure.meters.counter import HELD_REFRESHES
from bench.measure.meters.refresh import Refresh

# The worst card of 70 against an inline meter (2060 Super, +13%; the others -8% to +1%).
# Source: Z. Yang, K. Adamek, W. Armour, "Accurate and Convenient Energy Measurements for GPUs",
# SC24.
ERROR_FRAC = 0.13

# Sampling more often would cost as much as it measures.
_MIN_TICK_S = 0.01
# A sample this late leaves a gap that earlier samples say nothing about.
_GAP_S = 1.0
_ROUNDING_FRAC = 1e-6  # power comes in milliwatts


class PowerIntegral:
    """Joules of one card from its instantaneous power."""

    def __init__(
        self, gpu: Gpu, refresh: Refresh, now_s: float, *, max_w: float, no_counter: str
    ) -> None:
        """Take the first sample.

        Args:
            gpu: The card.
            refresh: How long a power reading is held.
            now_s: Monotonic seconds.
            max_w: More power than the card ever draws.
            no_counter: Why its energy counter is not used.

        Raises:
            NvmlError: The card is lost.
        """
        self._max_w = max_w
        self._shortest_s = refresh.shortest_s
        self._blind_frac = 1 - gpu.power_seen_frac()
        name = gpu.device.name
        self.component = Component(
            name=gpu.name,
            source=f"nvml(instantaneous_power, {name}; no energy counter: {no_counter})",
            label="integrated",
            refresh_s=refresh.typical_s,
            error_frac=ERROR_FRAC,
            edge_error_j=2 * self._max_w * refresh.longest_s,
            # A sample that is almost a whole period late still sees every refresh.
            tick_s=max(_MIN_TICK_S, self._shortest_s / 2),
        )
        self._gpu = gpu
        self._lag_s = min(refresh.typical_s, refresh.longest_s)
        self._reading = Reading(0.0)
        self._last_w = gpu.power_w()
        self._last_s = self._powered_s = now_s
        self._integral_j = -self._lag_s * self._last_w  # so that nothing has been used yet

    def read(self, clock: Clock) -> Reading:
        """Take a sample and integrate until then; an impossible power is a failure.

        Raises:
            NvmlError: The card is lost.
        """
        shown_w, now_s = self._gpu.power_w(), clock()
        if shown_w > 0:
            self._powered_s = now_s
        fault = self._fault(shown_w, now_s)
        if fault is not None:
            return Reading.failed(fault)
        gap_s = now_s - self._last_s
        before = self._reading
        self._integral_j += (shown_w + self._last_w) / 2 * gap_s
        self._reading = Reading(
            energy_j=max(before.energy_j, self._integral_j + self._lag_s * shown_w),
            missed_j=before.missed_j + self._doubt_j(shown_w, gap_s),
            gaps=before.gaps + (gap_s > _GAP_S),
        )
        self._last_w, self._last_s = shown_w, now_s
        return self._reading

    def _fault(self, shown_w: float, now_s: float) -> str | None:
        """Say why the power shown is impossible; None if it is possible."""
        if shown_w > self._max_w * (1 + _ROUNDING_FRAC):
            return f"its power reads {shown_w:g} W, more than the {self._max_w:g} W that can flow"
        dark_s = now_s - self._powered_s
        if dark_s > HELD_REFRESHES * self.component.refresh_s:
            return f"its power has read 0 W for {dark_s:g} s"
        return None

    def _doubt_j(self, shown_w: float, gap_s: float) -> float:
        """The most by which the joules between two samples can be off."""
        if gap_s >= self._shortest_s:
            return (1 + self._blind_frac) * self._max_w * gap_s
        jump_j = abs(shown_w - self._last_w) * gap_s / 2
        blind_w = (self._off_by_w(shown_w) + self._off_by_w(self._last_w)) / 2
        return jump_j + self._blind_frac * (blind_w * gap_s + jump_j)

    def _off_by_w(self, shown_w: float) -> float:
        """The largest error of the power shown while the sensor does not look."""
        return max(shown_w, self._max_w - shown_w)
