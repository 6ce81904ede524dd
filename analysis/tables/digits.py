"""Numbers as text, with no more digits than their interval supports."""

from __future__ import annotations

import math

from bench.core.stats.intervals import Estimate

# Numbers beyond these powers of ten are written with an exponent.
_SMALLEST, _LARGEST = -4, 7
# Significant digits without an interval to go by: a range of few runs, or a single run.
_DIGITS_OF_FEW = 3


def decimal_place(half_width: float) -> int:
    """The last decimal place that a value with this uncertainty supports, as a power of ten.

    Two digits of the uncertainty are kept if it begins with less than 3.55, otherwise one. Rounding
    then changes the uncertainty by 3% to 14%.

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
    """Round a value to a decimal place; with an exponent if it is very small or large.

    Args:
        value: Finite.
        place: Power of ten of the last digit that is shown.
    """
    if not value:
        return f"{value:.{-place if _SMALLEST <= place < 0 else 0}f}"
    # The place of the first digit.
    power = math.floor(math.log10(abs(value)))
    if not _SMALLEST <= max(power, place) < _LARGEST:
        return f"{value:.{max(power - place, 0)}e}"
    if place >= 0:
        unit = 10**place
        return str(round(value / unit) * unit)
    return f"{value:.{-place}f}"


def with_digits(value: float, digits: int = _DIGITS_OF_FEW) -> str:
    """Show a value with this many significant digits."""
    return rounded(value, _place_of_digits(value, digits)) if value else "0"


def place_of(estimate: Estimate, scale: float = 1.0) -> int | None:
    """The decimal place that an interval supports, after multiplication by scale.

    If the upper bound is missing, the distance to the lower one counts.

    Returns:
        None without an interval, or with one of no width.
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
    """`0.41 [0.39, 0.45]` for an interval, `0.413 (0.391 to 0.452)` for the range of a few runs.

    An interval decides how many digits are shown; a range has three significant ones. A number
    that rounding would turn into 0 or 1 keeps more digits: an accuracy of 0.9686 is not 1.0. An
    infinite bound is `inf`; an infinite value (most runs missed) is `not reached`. A whole number
    that is the same in all runs is shown in full.

    Args:
        estimate: What to show.
        scale: Factor to the unit that is shown.
    """
    low, value, high = (
        None if each is None else each * scale
        for each in (estimate.low, estimate.value, estimate.high)
    )
    # No bounds: a single run, or nothing known.
    if low is None:
        return "not reached" if value is None else _of_few(value)
    if value is not None and low == high:
        # Parameters and bytes are exact, so rounding them would lose what is known.
        return str(round(value)) if value == round(value) else _of_few(value)
    place = place_of(estimate, scale) if estimate.kind == "interval" else None

    def text(number: float) -> str:
        return _of_few(number) if place is None else rounded(number, _honest(number, place))

    upper = "inf" if high is None else text(high)
    middle = "not reached" if value is None else text(value)
    if estimate.kind == "range":
        return f"{middle} ({text(low)} to {upper})"
    return f"{middle} [{text(low)}, {upper}{')' if high is None else ']'}"


def _of_few(value: float) -> str:
    if not value:
        return "0"
    place = _place_of_digits(value, _DIGITS_OF_FEW)
    return rounded(value, _honest(value, place))


def _place_of_digits(value: float, digits: int) -> int:
    return math.floor(math.log10(abs(value))) - digits + 1


def _honest(value: float, place: int) -> int:
    """The place, or a finer one if rounding would make 0 or 1 of a number that is neither."""
    while 0 < abs(value) < 1 and round(abs(value), -place) in (0.0, 1.0) and place > -12:
        place -= 1
    return place
