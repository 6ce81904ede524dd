"""Energy of NVIDIA GPUs: the card's own counter, else its power integrated.

Which of the two is settled for each device when it is opened, by a real read. A device that offers
neither makes the meter unavailable: a total without one card would look like a saving.

Integrated power is a trapezoid over all samples, also those at the edges of a window. What it may
have missed is bounded with the samples themselves; see _Integral.

What sensors are off by: Z. Yang, K. Adamek, W. Armour, "Accurate and Convenient Energy Measurements
for GPUs", SC24.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from bench.measure.clock import Clock
from bench.measure.meters.base import Component, MeterUnavailable, Reading
from bench.measure.meters.counter import CounterSum
from bench.measure.meters.refresh import Refresh, watch_refreshes
from bench.measure.nvml import Gpu, NvmlError, close_gpus, open_gpus

# The worst card of 70 against an inline meter (2060 Super, +13%; the others -8% to +1%).
ERROR_FRAC = 0.13
# Capping power takes a while. Source: the plausibility limit of the ML.ENERGY benchmark.
PEAK_OVER_LIMIT = 1.7
DEFAULT_MAX_W = 1500.0
STEP_J = 1e-3  # the counter is in millijoules
COUNTER_TICK_S = 1.0  # no more than that is to be estimated when the driver is loaded anew

# Samples more often than this would cost what they measure.
_MIN_TICK_S = 0.01
# A sample so late leaves more in doubt than the samples before it can tell.
_GAP_S = 1.0


class NvmlMeter:
    """Joules of each visible GPU."""

    def __init__(
        self,
        *,
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is read yet.

        Args:
            clock: Monotonic seconds.
            sleep: Waits so many seconds, while the refresh period is found.
        """
        self.components: Sequence[Component] = ()
        self._clock = clock
        self._sleep = sleep
        self._sources: list[_Source] = []

    def open(self) -> None:
        """Find the devices that CUDA_VISIBLE_DEVICES allows, read each, and watch for refreshes.

        Takes up to a second.

        Raises:
            MeterUnavailable: No driver, no visible device, or one without a usable reading.
        """
        gpus = open_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
        try:
            choices = [_choose(gpu) for gpu in gpus]
            refreshes = watch_refreshes([read for _, read in choices], self._clock, self._sleep)
            self._sources = [
                make(gpu, refresh, self._clock())
                for gpu, (make, _), refresh in zip(gpus, choices, refreshes, strict=True)
            ]
        except NvmlError as error:
            close_gpus()
            raise MeterUnavailable(f"NVML: {error}") from error
        except MeterUnavailable:
            close_gpus()
            raise
        self.components = [source.component for source in self._sources]

    def read(self) -> Mapping[str, Reading]:
        """Joules since open().

        Raises:
            MeterUnavailable: It is not open, or a device was lost.
        """
        if not self._sources:
            raise MeterUnavailable("the meter is not open")
        readings: dict[str, Reading] = {}
        for source in self._sources:
            name = source.component.name
            try:
                readings[name] = source.read(self._clock)
            except NvmlError as error:
                raise MeterUnavailable(f"{name}: {error}") from error
        return readings

    def close(self) -> None:
        """Release the library."""
        if self._sources:
            self._sources = []
            close_gpus()


class _Source(Protocol):
    """One device's joules."""

    component: Component

    def read(self, clock: Clock) -> Reading:
        """Joules since it was made."""


def _choose(gpu: Gpu) -> tuple[Callable[[Gpu, Refresh, float], _Source], Callable[[], float]]:
    """The best way that works on this device, and what it reads."""
    try:
        gpu.energy_j()
    except NvmlError as error:
        no_counter = error
    else:
        return _Counter, gpu.energy_j
    try:
        gpu.power_w()
    except NvmlError as error:
        raise MeterUnavailable(
            f"{gpu.name} ({gpu.device.name}): energy counter: {no_counter}; instantaneous power: "
            f"{error}"
        ) from error
    return partial(_Integral, no_counter=str(no_counter)), gpu.power_w


def _max_w(gpu: Gpu) -> float:
    limit_w = gpu.power_limit_w()
    return PEAK_OVER_LIMIT * limit_w if limit_w else DEFAULT_MAX_W


class _Counter:
    """The card's energy counter, since the driver was loaded; it does not wrap."""

    def __init__(self, gpu: Gpu, refresh: Refresh, now_s: float) -> None:
        self._gpu = gpu
        self._sum = CounterSum(
            gpu.energy_j(),
            now_s,
            max_w=_max_w(gpu),
            refresh_s=refresh.longest_s,
            step_j=STEP_J,
        )
        self.component = Component(
            name=gpu.name,
            source=f"nvml(total_energy_counter, {gpu.device.name})",
            label="counter",
            refresh_s=refresh.typical_s,
            error_frac=ERROR_FRAC,
            edge_error_j=self._sum.edge_error_j,
            tick_s=COUNTER_TICK_S,
        )

    def read(self, clock: Clock) -> Reading:
        """Joules since it was made."""
        shown_j = self._gpu.energy_j()
        return self._sum.advance(shown_j, clock())


class _Integral:
    """Power integrated from sample to sample.

    What is shown is the mean over the refresh before, held until the next, so its integral is
    behind the energy by about one refresh of what is shown: so much is added. A share x of a
    refresh after the last one, this takes the power since then for the one before, and is off by at
    most x of a refresh of the most power that can flow, either way; hence twice a refresh for two
    edges.
    Where power falls the sum would too: it then stays, and is off by no more than it was.

    Between two samples that are less than a refresh apart lies at most one jump, somewhere: in
    doubt is half of it x the time between. Farther apart, whole refreshes may have gone unseen,
    with any power that can flow. A sensor that sees part of the time can be off for the rest by
    whatever can flow.
    """

    def __init__(self, gpu: Gpu, refresh: Refresh, now_s: float, *, no_counter: str) -> None:
        self._max_w = _max_w(gpu)
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
        self._last_s = now_s
        self._integral_j = -self._lag_s * self._last_w  # as nothing has been used yet

    def read(self, clock: Clock) -> Reading:
        """Take a sample, and the joules until then."""
        shown_w, now_s = self._gpu.power_w(), clock()
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
