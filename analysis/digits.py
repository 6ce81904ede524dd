"""Numbers as text, with the digits that their interval supports and no more."""

from __future__ import annotations

import math

from bench.core.intervals import Estimate

# Beyond these powers of ten, digits are written with an exponent.
_SMALLEST, _LARGEST = -4, 7
# Without any spread to go by (one run), this many digits.
_DIGITS_OF_ONE = 3


def decimal_place(half_width: float) -> int:
    """The last decimal place that a value with this uncertainty supports, as a power of ten.

    Two digits of the uncertainty are kept if it begins with less than 3.55, else one: its own
    rounding is then between 3% and 14% of it.

    Args:
        half_width: Half of the interval, positive.

    Raises:
        ValueError: It is not positive and finite.

    Source: the rounding rule of the Particle Data Group, Review of Particle Physics, introduction.
    """
    if not 0 < half_width < math.inf:
        raise ValueError(f"half_width={half_width}: must be positive and finite")
    power = math.floor(math.log10(half_width))
    return power - 1 if half_width / 10.0**power < 3.55 else power


def rounded(value: float, place: int) -> str:
    """A value rounded to a decimal place, with an exponent where it is very small or large.

    Args:
        value: Finite.
        place: Power of ten of the last digit that is shown.
    """
    power = math.floor(math.log10(abs(value))) if value else place
    if value and not _SMALLEST <= max(power, place) < _LARGEST:
        return f"{value:.{max(power - place, 0)}e}"
    if place >= 0:
        unit = 10**place
        return str(round(value / unit) * unit)
    return f"{value:.{-place}f}"


def of_digits(value: float, digits: int = _DIGITS_OF_ONE) -> str:
    """A value with so many significant digits; a whole number that has no more is in full."""
    if value == 0:
        return "0"
    return rounded(value, math.floor(math.log10(abs(value))) - digits + 1)


def place_of(estimate: Estimate, scale: float = 1.0) -> int | None:
    """The decimal place that an estimate supports, of scale times its value.

    With one bound missing it is the distance to the other that counts.

    Returns:
        None where nothing tells: no interval, or one without width.
    """
    if estimate.value is None:
        return None
    low, high = estimate.low, estimate.high
    if low is not None and high is not None:
        half_width = (high - low) / 2
    elif low is not None:
        half_width = estimate.value - low
    else:
        return None
    return decimal_place(half_width * scale) if half_width > 0 else None


def estimate_text(estimate: Estimate, scale: float = 1.0) -> str:
    """`0.41 [0.39, 0.45]`, both with the digits that the interval supports.

    An infinite bound is `inf`; a value that is infinite (most runs missed) is `not reached`; a
    value that is the same in all runs is shown in full.

    Args:
        estimate: What to show.
        scale: To the unit that is shown.
    """
    if estimate.value is None:
        low = "" if estimate.low is None else f" [{of_digits(estimate.low * scale)}, inf)"
        return f"not reached{low}"
    value = estimate.value * scale
    if estimate.num < 2 or estimate.low is None:
        return of_digits(value)
    if estimate.low == estimate.high:
        return str(round(value)) if value == round(value) else of_digits(value)
    place = place_of(estimate, scale)
    if place is None:  # the value is its own lower bound, and there is no upper one
        return f"{of_digits(value)} [{of_digits(value)}, inf)"
    low = rounded(estimate.low * scale, place)
    if estimate.high is None:
        return f"{rounded(value, place)} [{low}, inf)"
    return f"{rounded(value, place)} [{low}, {rounded(estimate.high * scale, place)}]"
