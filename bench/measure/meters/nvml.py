"""Measures energy of NVIDIA GPUs by the card's counter, or else by integrating its power.

The choice is made for each card when it is opened, by real readings: a counter that stands still,
or that contradicts the power of the card, is not used. A card that has neither is refused with the
reason, and the others are measured nevertheless.

Errors of sensors are from Z. Yang, K. Adamek, W. Armour, "Accurate and Convenient Energy
Measurements for GPUs", SC24.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from bench.measure.clock import Clock
from bench.measure.gpu import Gpu, NvmlError, close_library
from bench.measure.gpu_settings import is_confidential
from bench.measure.meters.base import Component, MeterUnavailable, Reading
from bench.measure.meters.counter import CounterSum, still_or_slow
from bench.measure.meters.counter_scope import (
    DEFAULT_MAX_W,
    LEAST_W,
    PEAK_OVER_LIMIT,
    CounterScope,
    WatchedCounter,
)
from bench.measure.meters.integral import ERROR_FRAC, PowerIntegral
from bench.measure.meters.refresh import WATCH_S, Watch, watch
from bench.measure.run_gpus import open_gpus

STEP_J = 1e-3  # the counter is in millijoules
COUNTER_TICK_S = 1.0  # the most to be estimated if the driver is reloaded


class NvmlMeter:
    """Joules of each GPU of the run."""

    def __init__(
        self,
        *,
        clock: Clock = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is read yet.

        Args:
            clock: Monotonic seconds.
            sleep: Waits for a number of seconds, while the refresh period is found.
        """
        self.components: Sequence[Component] = ()
        self.refused: Mapping[str, str] = {}
        self._clock = clock
        self._sleep = sleep
        self._uuids: Sequence[str] | None = None
        self._sources: list[_Counter | PowerIntegral] = []

    def choose_gpus(self, uuids: Sequence[str] | None) -> None:
        """Do as GpuMeter says; without a choice, CUDA_VISIBLE_DEVICES decides."""
        self._uuids = uuids

    def open(self) -> None:
        """Find the cards, read each one, and watch for refreshes; this takes up to two seconds.

        Raises:
            MeterUnavailable: No driver, no card, or none with a usable reading.
        """
        opened = open_gpus(self._uuids)
        refused = dict(opened.problems)
        cards = [_Card(gpu, self._clock) for gpu in opened.gpus]
        watch([card.counter for card in cards], self._clock, self._sleep)
        by_power = [card.watch_power() for card in cards if card.counter_fault() is not None]
        watch(by_power, self._clock, self._sleep)
        for card in cards:
            try:
                self._sources.append(card.source(self._clock()))
            except (MeterUnavailable, NvmlError) as error:
                refused[card.gpu.name] = f"{card.gpu.device.name}: {error}"
        if refused and is_confidential():
            note = "confidential computing is on, and may withhold it"
            refused = {name: f"{reason} ({note})" for name, reason in refused.items()}
        if not self._sources:
            close_library()
            raise MeterUnavailable("; ".join(f"{name}: {why}" for name, why in refused.items()))
        self.refused = refused
        self.components = [source.component for source in self._sources]

    def read(self) -> Mapping[str, Reading]:
        """Joules since open().

        Raises:
            MeterUnavailable: It is not open.
        """
        if not self._sources:
            raise MeterUnavailable("the meter is not open")
        return {source.component.name: self._read_one(source) for source in self._sources}

    def _read_one(self, source: _Counter | PowerIntegral) -> Reading:
        try:
            return source.read(self._clock)
        except NvmlError as error:
            return Reading.failed(str(error))

    def close(self) -> None:
        """Release the library."""
        if self._sources:
            self._sources = []
            close_library()


class _Card:
    """A card whose counter and power are watched to choose between them."""

    def __init__(self, gpu: Gpu, clock: Clock) -> None:
        self.gpu = gpu
        self._watched = WatchedCounter(gpu, clock)
        self.counter = self._watched.watch
        self._clock = clock
        self._power: Watch | None = None
        limit_w = gpu.power_limit_w()
        self._max_w = PEAK_OVER_LIMIT * limit_w if limit_w else DEFAULT_MAX_W

    def watch_power(self) -> Watch:
        """Start to watch the power of the card."""
        self._power = Watch(self.gpu.power_w, self._clock, errors=NvmlError)
        return self._power

    def counter_fault(self) -> str | None:
        """Say why the counter cannot be used; None if it can."""
        if self.counter.failure is not None:
            return self.counter.failure
        if self.counter.too_seldom:
            return still_or_slow(self.counter.num_changes, WATCH_S, self.counter.shown)
        return self._scope().fault

    def _scope(self) -> CounterScope:
        return self._watched.scope(self._max_w)

    def source(self, now_s: float) -> _Counter | PowerIntegral:
        """The best source of joules.

        Raises:
            MeterUnavailable: There is none, with the reasons.
            NvmlError: The card is lost.
        """
        no_counter, power = self.counter_fault(), self._power
        if power is None or no_counter is None:
            return _Counter(self.gpu, self.counter, now_s, self._scope())
        no_power = power.failure
        if no_power is None and not self._is_possible(power.shown):
            no_power = f"reads {power.shown:g} W, which cannot be"
        if no_power is not None:
            raise MeterUnavailable(f"energy counter: {no_counter}; instantaneous power: {no_power}")
        return PowerIntegral(
            self.gpu, power.refresh, now_s, max_w=self._max_w, no_counter=no_counter
        )

    def _is_possible(self, power_w: float) -> bool:
        """Whether a card that is on can draw this power."""
        return LEAST_W <= power_w <= self._max_w


class _Counter:
    """The card's energy counter since the driver was loaded; it does not wrap."""

    def __init__(self, gpu: Gpu, counter: Watch, now_s: float, scope: CounterScope) -> None:
        self._gpu = gpu
        self._sum = CounterSum(
            gpu.energy_j(),
            now_s,
            max_w=scope.max_w,
            refresh_s=counter.refresh.longest_s,
            step_j=STEP_J,
        )
        of_what = " of the whole module" if scope.included else ""
        self.component = Component(
            name=gpu.name,
            source=f"nvml(total_energy_counter{of_what}, {gpu.device.name})",
            label="counter",
            refresh_s=counter.refresh.typical_s,
            error_frac=ERROR_FRAC,
            edge_error_j=self._sum.edge_error_j,
            tick_s=COUNTER_TICK_S,
            least_w=LEAST_W,
            includes=scope.included,
        )

    def read(self, clock: Clock) -> Reading:
        """Joules since the source was made."""
        shown_j = self._gpu.energy_j()
        return self._sum.advance(shown_j, clock())
