"""Adds up what a counter of joules shows, through wraps and resets.

Each change is judged by the most that can have flowed: the maximum power times the time.

- A decrease that a wrap can explain is a wrap. Any other decrease is a reset, and the stretch in
  which it happened is estimated from the power before it.
- A time in which the counter can have wrapped more than once is a gap. So is a value that is held
  for many refreshes: the joules of that time may be shown later, or be lost.
- An increase beyond what can have flowed means that the counter has failed.

A reset that looks like a wrap, or like an ordinary increase, is taken for one, because nothing
distinguishes them.
"""

from __future__ import annotations

import math

from bench.measure.meters.base import Reading

# A busy driver may hold a value for this many refreshes.
HELD_REFRESHES = 50
# If it holds one for more refreshes than this, the joules of that time may be lost.
_UNDOUBTED_REFRESHES = 5


class CounterSum:
    """The joules since the baseline, with bounds on what is in doubt."""

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
            max_w: More power than ever flows.
            refresh_s: Time between changes of the counter.
            step_j: Its smallest change.
            range_j: Value at which it wraps; None for a counter that does not wrap.
        """
        self.max_w = max_w
        self.range_j = range_j
        self._refresh_s = refresh_s
        # At both ends of a window, the counter shows what was true at its last refresh.
        self.edge_error_j = max_w * refresh_s + step_j
        self._shown_j = shown_j
        self._at_s = now_s
        # When the present value was first seen, and the reading before that: it may be that old.
        self._changed_s = self._older_s = now_s
        self._before_w: float | None = None
        self._held_long = False
        self._sum = Reading(0.0, shown_j=shown_j)

    def advance(self, shown_j: float, now_s: float) -> Reading:
        """Add up the joules until now_s, when the counter showed shown_j; a failure is final."""
        if self._sum.failure is not None:
            return self._sum
        gone_j, wrapped = self._gone_j(shown_j, now_s)
        if gone_j < 0:
            self._add_reset(shown_j, now_s)
        elif not wrapped and gone_j > self._possible_j(self._longest_s(now_s)):
            self._sum = Reading.failed(
                f"its counter rose by {gone_j:g} J in {now_s - self._at_s:g} s, more than "
                f"{self.max_w:g} W can explain"
            )
        else:
            self._add(gone_j, shown_j, now_s)
        if shown_j != self._shown_j:
            self._changed_s, self._older_s = now_s, self._at_s
        self._shown_j, self._at_s = shown_j, now_s
        return self._sum

    def _possible_j(self, elapsed_s: float) -> float:
        """The most joules that can have flowed."""
        return self.max_w * elapsed_s + self.edge_error_j

    def _longest_s(self, now_s: float) -> float:
        """How long energy may have flowed that was not shown yet.

        The previous value may be as old as the reading before it, if it was held all the time.
        """
        since_s = now_s - self._changed_s
        return min(now_s - self._older_s, since_s + HELD_REFRESHES * self._refresh_s)

    def _gone_j(self, shown_j: float, now_s: float) -> tuple[float, bool]:
        """By how much the counter rose, and whether it wrapped; negative after a reset."""
        gone_j = shown_j - self._shown_j
        if gone_j >= 0 or self.range_j is None:
            return gone_j, False
        wrapped_j = gone_j + self.range_j
        if wrapped_j <= self._possible_j(now_s - self._changed_s):
            return wrapped_j, True
        return gone_j, False

    def _add(self, gone_j: float, shown_j: float, now_s: float) -> None:
        before = self._sum
        unseen_j = self._unseen_j(gone_j, now_s)
        lost_j = 0.0 if unseen_j else self._maybe_lost_j(gone_j, now_s)
        since_s = now_s - self._changed_s
        if gone_j > 0 and since_s > 0:
            self._before_w = gone_j / since_s
        self._sum = Reading(
            energy_j=before.energy_j + gone_j,
            missed_j=before.missed_j + unseen_j + lost_j,
            resets=before.resets,
            gaps=before.gaps + (unseen_j + lost_j > 0),
            shown_j=shown_j,
        )

    def _unseen_j(self, gone_j: float, now_s: float) -> float:
        """The joules of all wraps that may have gone unseen since the last reading."""
        if self.range_j is None:
            return 0.0
        free_j = self._possible_j(now_s - self._at_s) - gone_j
        return max(0, math.floor(free_j / self.range_j)) * self.range_j

    def _maybe_lost_j(self, gone_j: float, now_s: float) -> float:
        """The joules that may be lost because the value has been held for long.

        The estimate is the power before. A later rise does not reduce it: the rise may be the
        joules of that time, or only what flowed since.
        """
        if gone_j == 0 and now_s - self._changed_s > _UNDOUBTED_REFRESHES * self._refresh_s:
            since_s = now_s - (self._at_s if self._held_long else self._changed_s)
            self._held_long = True
        elif self._held_long:
            since_s = now_s - self._at_s
            self._held_long = gone_j == 0
        else:
            return 0.0
        return since_s * (self.max_w if self._before_w is None else self._before_w)

    def _add_reset(self, shown_j: float, now_s: float) -> None:
        """Estimate the joules around a reset; anything from 0 to the most possible is in doubt."""
        possible_j = self._possible_j(now_s - self._changed_s)
        # If no power is known from before, the middle has the smallest possible error.
        estimate_j = possible_j / 2
        if self._before_w is not None:
            estimate_j = self._before_w * (now_s - self._changed_s)
        if shown_j <= possible_j:  # if it began at zero, this much has flowed since
            estimate_j = shown_j if self._before_w is None else max(shown_j, estimate_j)
        estimate_j = min(estimate_j, possible_j)
        before = self._sum
        self._sum = Reading(
            energy_j=before.energy_j + estimate_j,
            missed_j=before.missed_j + max(estimate_j, possible_j - estimate_j),
            resets=before.resets + 1,
            gaps=before.gaps,
            shown_j=shown_j,
        )


def still_or_slow(num_changes: int, watched_s: float, shown_j: float) -> str:
    """Say that a counter hardly changed while it was watched; the words follow its name."""
    if num_changes == 0:
        return f"stands still at {shown_j:g} J"
    return f"changes too seldom, {num_changes} times in {watched_s:.2g} s"
