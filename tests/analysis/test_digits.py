from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.digits import decimal_place, estimate_text, of_digits, rounded
from bench.core.intervals import Estimate


def estimate(value: float | None, low: float | None, high: float | None, num: int = 5) -> Estimate:
    return Estimate(value=value, low=low, high=high, num=num)


@pytest.mark.parametrize(
    ("half_width", "place"),
    [(0.12, -2), (0.0354, -3), (0.0356, -2), (0.9, -1), (1.0, -1), (4.0, 0), (30, 0), (370, 2)],
)
def test_two_digits_of_a_small_and_one_of_a_large_uncertainty(
    half_width: float, place: int
) -> None:
    """The Particle Data Group's rule: 0.827 +- 0.119 is 0.83 +- 0.12, and 0.827 +- 0.367 is 0.8."""
    assert decimal_place(half_width) == place


@pytest.mark.parametrize("half_width", [0, -1, float("inf"), float("nan")])
def test_no_uncertainty_is_refused(half_width: float) -> None:
    with pytest.raises(ValueError, match="must be positive and finite"):
        decimal_place(half_width)


@pytest.mark.parametrize(
    ("value", "place", "text"),
    [
        (0.82741, -2, "0.83"),
        (0.80, -3, "0.800"),
        (1234.5, 0, "1234"),
        (14336.0, 2, "14300"),
        (6.4e-5, -6, "6.4e-05"),
        (3_766_565.9, 4, "3770000"),
        (123_456_789.0, 6, "1.23e+08"),
        (0.0, -2, "0.00"),
        (0.004, -2, "0.00"),
        (-2.5, -1, "-2.5"),
    ],
)
def test_rounding_to_a_place(value: float, place: int, text: str) -> None:
    assert rounded(value, place) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0416, "0.0416"), (2.2e-6, "2.20e-06"), (38.549, "38.5"), (99.96, "100.0")],
)
def test_a_number_of_digits(value: float, text: str) -> None:
    assert of_digits(value) == text


def test_an_estimate_shows_what_its_interval_supports() -> None:
    assert estimate_text(estimate(0.41234, 0.3911, 0.4551)) == "0.412 [0.391, 0.455]"
    assert estimate_text(estimate(0.41234, 0.1, 0.9)) == "0.4 [0.1, 0.9]"
    assert estimate_text(estimate(14336, 13300, 15400)) == "14300 [13300, 15400]"
    assert estimate_text(estimate(2e-5, 1.9e-5, 2.3e-5), 1e6) == "20.0 [19.0, 23.0]"


def test_an_estimate_without_bounds() -> None:
    assert estimate_text(estimate(None, None, None)) == "not reached"
    assert estimate_text(estimate(None, 0.8499, None)) == "not reached [0.850, inf)"
    assert estimate_text(estimate(1.346, 1.258, None)) == "1.35 [1.26, inf)"
    assert estimate_text(estimate(1.346, 1.346, None)) == "1.35 [1.35, inf)"
    assert estimate_text(estimate(0.4123, None, None, num=1)) == "0.412"


def test_what_is_the_same_in_all_runs_is_in_full() -> None:
    assert estimate_text(estimate(2048, 2048, 2048)) == "2048"
    assert estimate_text(estimate(38549, 38549, 38549), 1e-3) == "38.5"


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 0.9))
def test_rounding_is_within_a_seventh_of_the_uncertainty(value: float, share: float) -> None:
    """The last digit is at least a tenth of 1/3.55 of the half-width: half of it rounds away."""
    half_width = share * value
    text = rounded(value, decimal_place(half_width))
    assert abs(float(text) - value) <= half_width / 7 * 1.001
