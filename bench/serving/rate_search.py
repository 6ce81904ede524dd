"""Finds the largest rate that a system holds, and the smallest above it that fails.

Quick passes find roughly where the limit is; passes of full length decide. A quick pass is only a
hint: with few queries, one busy moment of the machine fails a rate that the system holds, and a
rate just above the limit may hold by luck.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

# Tries a rate; returns whether it held.
Try = Callable[[float], bool]

# A bracket this narrow is not divided further. It is also the first step away from a rate that did
# not turn out as expected. Each later step is the square of the one before, so that even a factor
# of 10^5 takes only eight.
_NARROW = 1.05
# At most this many passes of full length; more only until one rate has held and one has failed.
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

    def clip(self, rate_per_s: float) -> float:
        """The nearest rate within the limits."""
        return min(max(rate_per_s, self.lowest_per_s), self.highest_per_s)


@dataclass(slots=True)
class Bracket:
    """The rates that were tried, and the bracket that they leave."""

    held: set[float] = field(default_factory=set)
    failed: set[float] = field(default_factory=set)

    def add(self, rate_per_s: float, held: bool) -> None:
        """Note whether a rate held."""
        (self.held if held else self.failed).add(rate_per_s)

    @property
    def held_per_s(self) -> float | None:
        """The largest rate that held; None if none did."""
        return max(self.held, default=None)

    @property
    def failed_per_s(self) -> float | None:
        """The smallest rate that failed above the largest one that held; None if none did."""
        largest = self.held_per_s or 0.0
        return min((rate for rate in self.failed if rate > largest), default=None)

    @property
    def ratio(self) -> float | None:
        """The upper end over the lower one; None without both."""
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

    Quick passes come first. Then a full pass tries the largest rate that held in a quick one. If it
    fails, lower rates are tried until one holds: the lower end of the bracket is now confirmed in
    full length. The upper end may have failed in a quick pass by accident, so it is tried in full
    length as well. If it holds there, the search goes on above it.

    Args:
        quick: Tries a rate in a short pass.
        full: Tries a rate in a pass of full length.
        limits: Where to search.
        num_steps: Number of quick passes, at least 1; more if none of them held, or none failed.

    Returns:
        A bracket whose lower end held in full length and whose upper end failed in a pass of any
        length. The lower end is None if no rate held down to the lowest; the upper end is None if
        none failed up to the highest. Report the last full pass at the lower end.

    Raises:
        ValueError: num_steps is out of range.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps}: must be at least 1")
    return _confirm(full, limits, _find_roughly(quick, limits, num_steps))


def _find_roughly(quick: Try, limits: RateLimits, num_steps: int) -> Bracket:
    """Double or halve the rate until the limit is bracketed; then bisect."""
    bracket = Bracket()
    rate_per_s = limits.start_per_s
    num_tried = 0
    while rate_per_s == limits.clip(rate_per_s) and (
        num_tried < num_steps or bracket.ratio is None
    ):
        bracket.add(rate_per_s, quick(rate_per_s))
        num_tried += 1
        if bracket.ratio is not None:
            rate_per_s = bracket.middle_per_s
        else:
            rate_per_s *= 0.5 if bracket.held_per_s is None else 2.0
    return bracket


def _confirm(full: Try, limits: RateLimits, hint: Bracket) -> Bracket:
    """The bracket by full passes; it keeps the rates that failed in quick ones."""
    bracket = Bracket(failed=set(hint.failed))
    tried: set[float] = set()
    # Full passes are expensive: make the bracket no narrower than the quick ones did.
    narrow = max(_NARROW, hint.ratio or 0.0)
    step = _NARROW
    rate_per_s = hint.held_per_s or hint.failed_per_s or limits.start_per_s
    while rate_per_s not in tried and (len(tried) < FULL_PASSES or bracket.ratio is None):
        held = full(rate_per_s)
        tried.add(rate_per_s)
        bracket.add(rate_per_s, held)
        if bracket.ratio is None:
            rate_per_s = limits.clip(rate_per_s * step if held else rate_per_s / step)
            step **= 2
            continue
        step = _NARROW
        wide = bracket.ratio > narrow * _ROUNDING
        # Once the bracket is narrow, only its upper end is left to confirm.
        rate_per_s = bracket.middle_per_s if wide else bracket.failed_per_s or rate_per_s
    return bracket
