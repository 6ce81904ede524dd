"""Watches the readings of a GPU before the clock starts: how often they change, and by how much.

Three kinds of counters are not used: one that does not change while it is watched is dead, one that
hardly changes has edges of unknown error, and one that contradicts the power of the card is wrong.

Source of the constants: Z. Yang, K. Adamek, W. Armour, "Accurate and Convenient Energy Measurements
for GPUs", SC24: 100 ms on most cards, 20 ms on Volta and Pascal, and nothing below.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from bench.measure.clock import Clock

DEFAULT_REFRESH_S = 0.1  # if watching does not show it
MIN_REFRESH_S = 0.02

# Two sensors of one card differ by noise, by lag and by at most 13%. Beyond this factor one of them
# is wrong. Up to 1.75 was seen on idle cards (ml-energy/zeus #181).
CONTRADICTION = 2.0

_POLL_S = 0.002
WATCH_S = 1.0
_ENOUGH_CHANGES = 6
# Needed for a period and a rate: the first change is the baseline, and power needs time to follow
# the load.
_FEWEST_CHANGES = 3
_RATE_S = 0.5


@dataclass(frozen=True, slots=True)
class Refresh:
    """How long a reading is held: at least, typically, and at most."""

    shortest_s: float
    typical_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a reading, between two moments."""

    after_s: float
    before_s: float
    shown: float
    references: tuple[float | None, ...]


class Watch:
    """One reading that is watched.

    Attributes:
        too_seldom: Whether it hardly changed although it was watched for the whole time.
        failure: Why it could not be read any more; None if it could.
        shown: The last value.
    """

    def __init__(
        self,
        read: Callable[[], float],
        clock: Clock,
        *,
        errors: type[Exception] | tuple[type[Exception], ...],
        references: Sequence[Callable[[], float]] = (),
    ) -> None:
        """Read it for the first time.

        Args:
            read: Reads the value to watch.
            clock: Monotonic seconds.
            errors: Exceptions of `read` that mean that the value cannot be read.
            references: Read at each change, for comparison; may raise the same errors.
        """
        self.too_seldom = False
        self.failure: str | None = None
        self.shown = 0.0
        self._read = read
        self._clock = clock
        self._errors = errors
        self._references: list[Callable[[], float] | None] = list(references)
        self._changes: list[_Change] = []
        self._began_s = clock()
        try:
            self.shown = read()
        except errors as error:
            self.failure = str(error)

    @property
    def num_changes(self) -> int:
        """How often the reading has changed."""
        return len(self._changes)

    @property
    def done(self) -> bool:
        """Whether watching for longer would add nothing."""
        if self.failure is not None:
            return True
        if len(self._changes) < _ENOUGH_CHANGES:
            return False
        return not any(self._references) or self._span_s >= _RATE_S

    def poll(self) -> None:
        """Read once more."""
        if self.failure is not None:
            return
        began_s = self._clock()
        try:
            shown = self._read()
        except self._errors as error:
            self.failure = str(error)
            return
        if shown != self.shown:
            now_s = self._clock()
            self._changes.append(_Change(self._began_s, now_s, shown, self._read_references()))
        self._began_s, self.shown = began_s, shown

    def conclude(self) -> None:
        """Judge the reading at the end of the time."""
        self.too_seldom = self.failure is None and self.num_changes < _FEWEST_CHANGES

    @property
    def refresh(self) -> Refresh:
        """How long a value was held."""
        pairs = list(itertools.pairwise(self._changes))
        if not pairs:
            return Refresh(DEFAULT_REFRESH_S, DEFAULT_REFRESH_S, DEFAULT_REFRESH_S)
        shortest_s = min(later.after_s - earlier.before_s for earlier, later in pairs)
        typical_s = median(later.before_s - earlier.before_s for earlier, later in pairs)
        return Refresh(
            # A refresh to the same value is invisible, and makes the time between two look longer.
            shortest_s=min(max(0.0, shortest_s), DEFAULT_REFRESH_S),
            typical_s=max(typical_s, MIN_REFRESH_S),
            longest_s=max(later.before_s - earlier.after_s for earlier, later in pairs),
        )

    @property
    def rate(self) -> float | None:
        """The change per second; None if there were too few changes to tell."""
        if len(self._changes) < _FEWEST_CHANGES:
            return None
        return (self._changes[-1].shown - self._changes[0].shown) / self._span_s

    @property
    def mean_references(self) -> list[float | None]:
        """The mean of each reference; None if it could not be read every time."""
        columns = zip(*(one.references for one in self._changes), strict=True)
        means = [_mean(column) for column in columns]
        return means or [None] * len(self._references)

    @property
    def _span_s(self) -> float:
        """From the first change to the last."""
        return self._changes[-1].before_s - self._changes[0].before_s

    def _read_references(self) -> tuple[float | None, ...]:
        return tuple(self._read_reference(place) for place in range(len(self._references)))

    def _read_reference(self, place: int) -> float | None:
        if (read := self._references[place]) is None:
            return None
        try:
            return read()
        except self._errors:  # without a reference there is no comparison, but the reading is fine
            self._references[place] = None
            return None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def watch(watches: Sequence[Watch], clock: Clock, sleep: Callable[[float], None]) -> None:
    """Watch all readings together until enough is known of each, for up to a second.

    Args:
        watches: What to watch.
        clock: Monotonic seconds.
        sleep: Waits for a number of seconds.
    """
    started_s = now_s = clock()
    while not all(one.done for one in watches):
        if now_s - started_s >= WATCH_S:
            for one in watches:
                one.conclude()
            return
        sleep(_POLL_S)
        before_s, now_s = now_s, clock()
        if now_s == before_s:
            return  # a clock that stands still cannot show that a counter does
        for one in watches:
            one.poll()


def contradict(first_w: float, second_w: float, *, first_holds_more: bool = False) -> bool:
    """Whether two powers of one card cannot both be right.

    Args:
        first_w: Power by the counter.
        second_w: Power by the power sensor.
        first_holds_more: Whether the counter includes parts that the sensor does not see, so that
            it may be higher.
    """
    if first_w * CONTRADICTION < second_w:
        return True
    return first_w > CONTRADICTION * second_w and not first_holds_more
