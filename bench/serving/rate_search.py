"""The largest rate that a system holds, found with few trials."""

from __future__ import annotations

import math
from collections.abc import Callable


def search_rate(
    holds: Callable[[float], bool], *, start_per_s: float, num_steps: int
) -> float | None:
    """Double, or halve, until the limit is bracketed; then bisect.

    The bracket is bisected at its geometric mean, so that each step halves the relative error: of
    a limit that lies between one doubling and the next, k bisections leave a factor of 2^(2^-k).

    Args:
        holds: Tries one rate.
        start_per_s: The first rate tried, above 0.
        num_steps: Rates tried in all, at least 1.

    Returns:
        The largest rate tried that held; None if none did.

    Raises:
        ValueError: A number is out of range.
    """
    if not 0 < start_per_s < math.inf:
        raise ValueError(f"start_per_s={start_per_s}: must be a positive number")
    if num_steps < 1:
        raise ValueError(f"num_steps={num_steps}: must be at least 1")
    held: float | None = None
    missed: float | None = None
    rate_per_s = start_per_s
    for _ in range(num_steps):
        if holds(rate_per_s):
            held = rate_per_s
        else:
            missed = rate_per_s
        if held is None:
            rate_per_s /= 2
        elif missed is None:
            rate_per_s *= 2
        else:
            rate_per_s = math.sqrt(held * missed)
    return held
