"""Reads a meter so that nothing it does can end the run or pass for a measurement.

Every meter is read through this, one of a user's own too. A component whose reading cannot be
(missing, not a number, lower than before, more than can have flowed, a counter that stands still)
has failed: it is not read again, and the reason is kept. A component never comes back: joules with
a hole are no total.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from bench.measure.clock import Clock
from bench.measure.meters.base import Component, Meter, MeterUnavailable, Reading
from bench.measure.meters.counter import HELD_REFRESHES

# Sums of floats may differ in the last digits.
_ROUNDING_FRAC = 1e-9


class GuardedMeter:
    """A meter that is open, and those of its components that are wanted.

    Attributes:
        components: What is wanted.
    """

    def __init__(
        self,
        meter: Meter,
        components: Sequence[Component],
        clock: Clock,
        on_failure: Callable[[str], None],
    ) -> None:
        """Nothing is read yet.

        Args:
            meter: Open.
            components: Those of its components that are wanted.
            clock: Monotonic seconds.
            on_failure: Takes the reason of each failure.
        """
        self.components = components
        self._meter = meter
        self._clock = clock
        self._on_failure = on_failure
        self._alive = {component.name: component for component in components}
        self._last: dict[str, Reading] = {}
        self._moved_s: dict[str, float] = {}

    @property
    def tick_s(self) -> float | None:
        """Seconds within which it is to be read again and again; None if it need not be."""
        return min((c.tick_s for c in self._alive.values() if c.tick_s is not None), default=None)

    @property
    def failed(self) -> set[str]:
        """Names of the components that have failed."""
        return {component.name for component in self.components} - self._alive.keys()

    def read(self) -> Mapping[str, Reading]:
        """The readings of the components that have not failed."""
        if not self._alive:
            return {}
        try:
            readings = self._meter.read()
            now_s = self._clock()
            for component in list(self._alive.values()):
                self._take(component, readings.get(component.name), now_s)
        except Exception as error:  # a meter may be anyone's: whatever it raises is its failure
            self._alive = {}
            self._on_failure(f"failed while measuring: {reason_of(error)}")
        return {name: self._last[name] for name in self._alive}

    def fail(self, name: str, reason: str) -> None:
        """Give a component up."""
        del self._alive[name]
        self._on_failure(f"failed while measuring: {name}: {reason}")

    def _take(self, component: Component, reading: Reading | None, now_s: float) -> None:
        """Keep a reading, or give the component up."""
        name, last = component.name, self._last.get(component.name)
        if reading is None:
            self.fail(name, "the meter gives no reading of it")
            return
        since_s = now_s - self._moved_s.setdefault(name, now_s)
        reason = _fault(component, reading, last, since_s)
        if reason is not None:
            self.fail(name, reason)
            return
        if last is not None and reading.energy_j > last.energy_j:
            self._moved_s[name] = now_s
        self._last[name] = reading


def reason_of(error: Exception) -> str:
    """What an error says; with its kind where the message alone may mean nothing."""
    if isinstance(error, MeterUnavailable | OSError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _fault(
    component: Component, reading: Reading, last: Reading | None, since_s: float
) -> str | None:
    """Why a reading cannot be; None where it can.

    Args:
        component: Of the reading.
        reading: To be judged.
        last: The reading before it.
        since_s: Since the joules last moved.
    """
    if reading.failure is not None:
        return reading.failure
    if not (math.isfinite(reading.energy_j) and math.isfinite(reading.missed_j)):
        return f"it reads {reading.energy_j} J, off by up to {reading.missed_j} J"
    if last is None:
        return None
    gone_j = reading.energy_j - last.energy_j
    if gone_j < -_ROUNDING_FRAC * abs(last.energy_j):
        return f"its joules fell from {last.energy_j:g} to {reading.energy_j:g}"
    if component.max_w is not None:
        possible_j = component.max_w * since_s + component.edge_error_j
        if gone_j > possible_j:
            return f"it gained {gone_j:g} J in {since_s:g} s, more than {component.max_w:g} W give"
    # One that need not be read regularly is judged by the window that it did not move in.
    if component.tick_s is not None and gone_j <= 0 and is_dead(component, since_s):
        return f"its counter has not moved for {since_s:g} s"
    return None


def is_dead(component: Component, still_s: float) -> bool:
    """Whether a component that has not moved for so long must be dead.

    Nothing that is switched on draws no power. But a driver that is busy may hold a counter for
    several refreshes, and a model or a rail of a chip may say for long that nothing is used.
    """
    return component.label == "counter" and still_s > HELD_REFRESHES * component.refresh_s
