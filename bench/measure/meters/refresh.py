"""How often the readings of a GPU change, found by watching them before the clock starts.

Source of the constants: Z. Yang, K. Adamek, W. Armour, "Accurate and Convenient Energy Measurements
for GPUs", SC24: 100 ms on most cards, 20 ms on Volta and Pascal, and nothing below.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.measure.clock import Clock

DEFAULT_REFRESH_S = 0.1  # where watching does not tell
MIN_REFRESH_S = 0.02

_POLL_S = 0.002
_WATCH_S = 1.0
_ENOUGH_CHANGES = 6


@dataclass(frozen=True, slots=True)
class Refresh:
    """For how long a reading is held: at least, as a rule, and at most."""

    shortest_s: float
    typical_s: float
    longest_s: float


def watch_refreshes(
    reads: Sequence[Callable[[], float]], clock: Clock, sleep: Callable[[float], None]
) -> list[Refresh]:
    """For how long each reading is held, by watching all of them change for up to a second.

    Args:
        reads: What to watch.
        clock: Monotonic seconds.
        sleep: Waits so many seconds.
    """
    watches = [_Watch(read, clock) for read in reads]
    started_s = clock()
    while clock() - started_s < _WATCH_S:
        if all(len(watch.changes_s) >= _ENOUGH_CHANGES for watch in watches):
            break
        sleep(_POLL_S)
        for watch in watches:
            watch.poll()
    return [_refresh(watch.changes_s) for watch in watches]


class _Watch:
    """When a reading changed: each time after one moment and before another."""

    def __init__(self, read: Callable[[], float], clock: Clock) -> None:
        self.changes_s: list[tuple[float, float]] = []
        self._read = read
        self._clock = clock
        self._began_s = clock()
        self._shown = read()

    def poll(self) -> None:
        began_s, shown = self._clock(), self._read()
        if shown != self._shown:
            self.changes_s.append((self._began_s, self._clock()))
        self._began_s, self._shown = began_s, shown


def _refresh(changes_s: Sequence[tuple[float, float]]) -> Refresh:
    pairs = list(itertools.pairwise(changes_s))
    if not pairs:
        return Refresh(DEFAULT_REFRESH_S, DEFAULT_REFRESH_S, DEFAULT_REFRESH_S)
    shortest_s = min(later[0] - earlier[1] for earlier, later in pairs)
    typical_s = median(later[1] - earlier[1] for earlier, later in pairs)
    return Refresh(
        # A refresh to the same value is not seen, and makes the time between two look longer.
        shortest_s=min(max(0.0, shortest_s), DEFAULT_REFRESH_S),
        typical_s=max(typical_s, MIN_REFRESH_S),
        longest_s=max(later[1] - earlier[0] for earlier, later in pairs),
    )
