"""Power of a GPU integrated from sample to sample: a trapezoid over all samples.

What is shown is the mean over the refresh before, held until the next, so its integral is behind
the energy by about one refresh of what is shown: so much is added. A share x of a refresh after the
last one, this takes the power since then for the one before, and is off by at most x of a refresh
of the most power that can flow, either way; hence twice a refresh for two edges. Where power falls
the sum would too: it then stays, and is off by no more than it was.

Between two samples that are less than a refresh apart lies at most one jump, somewhere: in doubt is
half of it x the time between. Farther apart, whole refreshes may have gone unseen, with any power
that can flow. A sensor that sees part of the time can be off for the rest by whatever can flow.
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

# Samples more often than this would cost what they measure.
_MIN_TICK_S = 0.01
# A sample so late leaves more in doubt than the samples before it can tell.
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
            refresh: For how long its power is held.
            now_s: Monotonic seconds.
            max_w: More than the card ever draws.
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
            # Late by almost a whole period it still sees every refresh.
            tick_s=max(_MIN_TICK_S, self._shortest_s / 2),
        )
        self._gpu = gpu
        self._lag_s = min(refresh.typical_s, refresh.longest_s)
        self._reading = Reading(0.0)
        self._last_w = gpu.power_w()
        self._last_s = self._powered_s = now_s
        self._integral_j = -self._lag_s * self._last_w  # as nothing has been used yet

    def read(self, clock: Clock) -> Reading:
        """Take a sample, and the joules until then; a power that cannot be is a failure.

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
        """Why the power shown cannot be; None where it can."""
        if shown_w > self._max_w * (1 + _ROUNDING_FRAC):
            return f"its power reads {shown_w:g} W, more than the {self._max_w:g} W that can flow"
        dark_s = now_s - self._powered_s
        if dark_s > HELD_REFRESHES * self.component.refresh_s:
            return f"its power has read 0 W for {dark_s:g} s"
        return None

    def _doubt_j(self, shown_w: float, gap_s: float) -> float:
        """The most by which the joules of one gap can be off."""
        if gap_s >= self._shortest_s:
            return (1 + self._blind_frac) * self._max_w * gap_s
        jump_j = abs(shown_w - self._last_w) * gap_s / 2
        blind_w = (self._off_by_w(shown_w) + self._off_by_w(self._last_w)) / 2
        return jump_j + self._blind_frac * (blind_w * gap_s + jump_j)

    def _off_by_w(self, shown_w: float) -> float:
        """How far the power may have been from what is shown while the sensor did not look."""
        return max(shown_w, self._max_w - shown_w)
