"""Reads a meter so that no fault of it can end the run or be taken for a measurement.

Every meter is read through this guard, including a user's own. A component has failed if its
reading is impossible: missing, not a number, lower than before, more than can have flowed, or
unchanged for too long. A failed component is not read again, because joules with a gap are no
total; the reason is kept.
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
    """An open meter, and those of its components that are used.

    Attributes:
        components: The components that are used.
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
            meter: The meter; open.
            components: Those of its components that are used.
            clock: Monotonic seconds.
            on_failure: Called with the reason of each failure.
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
        """Longest time between two readings, in seconds; None if any time will do."""
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
        except Exception as error:  # a user's own meter may raise anything
            self._alive = {}
            self._on_failure(f"failed while measuring: {reason_of(error)}")
        return {name: self._last[name] for name in self._alive}

    def fail(self, name: str, reason: str) -> None:
        """Stop reading a component and report why."""
        del self._alive[name]
        self._on_failure(f"failed while measuring: {name}: {reason}")

    def _take(self, component: Component, reading: Reading | None, now_s: float) -> None:
        """Keep a reading, or stop reading the component."""
        name, last = component.name, self._last.get(component.name)
        if reading is None:
            self.fail(name, "the meter gives no reading")
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
    """The message of an error, with its kind if the message alone may mean nothing."""
    if isinstance(error, MeterUnavailable | OSError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _fault(
    component: Component, reading: Reading, last: Reading | None, since_s: float
) -> str | None:
    """Say why a reading is impossible; None if it is possible.

    Args:
        component: The component that was read.
        reading: The reading to judge.
        last: The reading before it.
        since_s: Time since the joules last changed.
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
    # A component that is not read regularly is judged at the end of the window instead.
    if component.tick_s is not None and gone_j <= 0 and is_dead(component, since_s):
        return f"its counter has not moved for {since_s:g} s"
    return None


def is_dead(component: Component, still_s: float) -> bool:
    """Whether a component whose joules have not changed for this long must be dead.

    Everything that is switched on draws power. But a busy driver may hold a counter for several
    refreshes, and a model, or the rail of a chip, may rightly report no use for a long time.
    """
    return component.label == "counter" and still_s > HELD_REFRESHES * component.refresh_s
