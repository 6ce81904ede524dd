"""The largest rate that a system holds and the smallest above it that fails, found with few passes.

Quick passes find roughly where the limit is, passes of full length decide. A quick pass is a hint
only: with few queries, one moment in which the machine was busy elsewhere fails a rate that holds,
and a rate just above the limit may hold by luck.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

# Tries a rate; whether it held.
Try = Callable[[float], bool]

# A bracket this narrow is not divided further. It is also the first step away from a rate that did
# not turn out as expected; each later step is the square of the one before, so that even a factor
# of 10^5 takes eight.
_NARROW = 1.05
# Passes of full length, at most; more only while they have seen no rate hold, or none fail.
FULL_PASSES = 16
_ROUNDING = 1 + 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Where to search, in queries per second; lowest <= start <= highest."""

    start_per_s: float
    lowest_per_s: float
    highest_per_s: float

    def __post_init__(self) -> None:
        """Check the order.

        Raises:
            ValueError: A rate is not positive and finite, or they are out of order.
        """
        if not 0 < self.lowest_per_s <= self.start_per_s <= self.highest_per_s < math.inf:
            raise ValueError(
                f"lowest_per_s={self.lowest_per_s}, start_per_s={self.start_per_s}, "
                f"highest_per_s={self.highest_per_s}: must be positive and in this order"
            )

    def include(self, rate_per_s: float) -> bool:
        """Whether a rate may be tried."""
        return self.lowest_per_s <= rate_per_s <= self.highest_per_s

    def nearest(self, rate_per_s: float) -> float:
        """The rate that may be tried and comes closest."""
        return min(max(rate_per_s, self.lowest_per_s), self.highest_per_s)


@dataclass(slots=True)
class Bracket:
    """Rates that were tried, and the bracket that they leave."""

    held: set[float] = field(default_factory=set)
    failed: set[float] = field(default_factory=set)

    def add(self, rate_per_s: float, held: bool) -> None:
        """Note how a rate turned out."""
        (self.held if held else self.failed).add(rate_per_s)

    @property
    def held_per_s(self) -> float | None:
        """The largest rate that held; None if none did."""
        return max(self.held, default=None)

    @property
    def failed_per_s(self) -> float | None:
        """The smallest rate that failed above the largest one that held; None if none did."""
        above = self.held_per_s or 0.0
        return min((rate for rate in self.failed if rate > above), default=None)

    @property
    def ratio(self) -> float | None:
        """Its upper end over its lower one; None without both."""
        if self.held_per_s is None or self.failed_per_s is None:
            return None
        return self.failed_per_s / self.held_per_s

    @property
    def middle_per_s(self) -> float:
        """The geometric mean of both ends, which halves the relative error."""
        if self.held_per_s is None or self.failed_per_s is None:
            raise ValueError("a bracket without both ends has no middle")
        return math.sqrt(self.held_per_s * self.failed_per_s)


def search_rate(quick: Try, full: Try, limits: RateLimits, *, num_steps: int) -> Bracket:
    """Bracket the largest rate that holds.

    Quick passes come first. Then the largest rate that held in one of them is tried in full length.
    If it fails there, lower ones are tried until one holds. Then the lower end of the bracket is
    known to hold in full length, and its upper end, which may have failed in a quick pass by
    accident, is tried in full length as well: if it holds, the search goes on above it.

    Args:
        quick: Tries a rate in a short pass.
        full: Tries a rate in a pass of full length.
        limits: Where to search.
        num_steps: Quick passes, at least 1; more where they have seen no rate hold or none fail.

    Returns:
        Its lower end held in full length, its upper end failed in a pass of any length. The lower
        end is None if no rate held down to the lowest, the upper end is None if none failed up to
        the highest. The last full pass at the lower end is the one to report.

    Raises:
        ValueError: num_steps is out of range.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps}: must be at least 1")
    hint = _hint(quick, limits, num_steps)
    return _confirmed(full, limits, hint)


def _hint(quick: Try, limits: RateLimits, num_steps: int) -> Bracket:
    """Double, or halve, until the limit is bracketed; then bisect."""
    found = Bracket()
    rate_per_s = limits.start_per_s
    tried = 0
    while limits.include(rate_per_s) and (tried < num_steps or found.ratio is None):
        found.add(rate_per_s, quick(rate_per_s))
        tried += 1
        if found.ratio is not None:
            rate_per_s = found.middle_per_s
        else:
            rate_per_s *= 0.5 if found.held_per_s is None else 2.0
    return found


def _confirmed(full: Try, limits: RateLimits, hint: Bracket) -> Bracket:
    """The bracket of full passes, which takes over the rates that failed in quick ones."""
    found = Bracket(failed=set(hint.failed))
    tried: set[float] = set()
    narrow = max(_NARROW, hint.ratio or 0.0)
    step = _NARROW
    rate_per_s = hint.held_per_s or hint.failed_per_s or limits.start_per_s
    while rate_per_s not in tried and (len(tried) < FULL_PASSES or found.ratio is None):
        held = full(rate_per_s)
        tried.add(rate_per_s)
        found.add(rate_per_s, held)
        if found.ratio is None:
            rate_per_s = limits.nearest(rate_per_s * step if held else rate_per_s / step)
            step **= 2
            continue
        step = _NARROW
        wide = found.ratio > narrow * _ROUNDING
        rate_per_s = found.middle_per_s if wide else found.failed_per_s or rate_per_s
    return found
