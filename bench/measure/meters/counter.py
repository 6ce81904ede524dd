"""Sums up what a counter of joules shows, through wraps and resets.

What can have flowed between two readings, the most power times the time, is the judge. A decrease
that a wrap can explain is one; any other is a reset, and the stretch in which it happened is
estimated from the power before it. More time than a turn takes at the most power is a gap: turns
may have gone unseen. A reset that a wrap could explain as well is taken for one: nothing tells them
apart.
"""

from __future__ import annotations

import math

from bench.measure.meters.base import Reading


class CounterSum:
    """The joules since it was made, with what is in doubt of them."""

    def __init__(
        self,
        shown_j: float,
        now_s: float,
        *,
        max_w: float,
        refresh_s: float,
        step_j: float,
        range_j: float | None = None,
    ) -> None:
        """Take the baseline.

        Args:
            shown_j: What the counter shows.
            now_s: When it was read, on a monotonic clock.
            max_w: More than ever flows.
            refresh_s: How often the counter changes.
            step_j: Its smallest change.
            range_j: Where it begins anew; None for a counter that does not wrap.
        """
        self.max_w = max_w
        self.range_j = range_j
        # A counter tells what was true at its last refresh: at both ends of a window.
        self.edge_error_j = max_w * refresh_s + step_j
        self._shown_j = shown_j
        self._at_s = now_s
        self._before_w = 0.0
        self._sum = Reading(0.0)

    def advance(self, shown_j: float, now_s: float) -> Reading:
        """The joules until now_s, when the counter showed shown_j."""
        elapsed_s = now_s - self._at_s
        possible_j = self.max_w * elapsed_s + self.edge_error_j
        gone_j = shown_j - self._shown_j
        missed_j, reset, gap = 0.0, False, False
        if gone_j < 0 and (self.range_j is None or gone_j + self.range_j > possible_j):
            reset = True
            gone_j = min(max(shown_j, self._before_w * elapsed_s), possible_j)
            missed_j = max(gone_j - shown_j, possible_j - gone_j)
        elif self.range_j is not None:
            gone_j %= self.range_j
            unseen_turns = math.floor((possible_j - gone_j) / self.range_j)
            gap = unseen_turns > 0
            missed_j = unseen_turns * self.range_j if gap else 0.0
        if elapsed_s > 0 and not reset:
            self._before_w = gone_j / elapsed_s
        self._shown_j, self._at_s = shown_j, now_s
        self._sum = Reading(
            energy_j=self._sum.energy_j + gone_j,
            missed_j=self._sum.missed_j + missed_j,
            resets=self._sum.resets + reset,
            gaps=self._sum.gaps + gap,
        )
        return self._sum
