from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.tables.digits import decimal_place, estimate_text, rounded, with_digits
from bench.core.stats.intervals import Estimate


def estimate(value: float | None, low: float | None, high: float | None, num: int = 8) -> Estimate:
    return Estimate(value=value, low=low, high=high, num=num)


def ranged(value: float | None, low: float | None, high: float | None) -> Estimate:
    return Estimate(value=value, low=low, high=high, num=2, kind="range")


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
        (0.0, -8, "0"),
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
    assert with_digits(value) == text


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


@pytest.mark.parametrize(
    ("of", "text"),
    [
        # Two runs that agree to six digits say nothing about the fourth.
        (ranged(0.163220, 0.163192, 0.163248), "0.163 (0.163 to 0.163)"),
        # A run at chance and a good one: neither bound becomes a round number.
        (ranged(0.53475, 0.1009, 0.9686), "0.535 (0.101 to 0.969)"),
        (ranged(14336, 13312, 15360), "14300 (13300 to 15400)"),
        (ranged(1.2, 1.1, None), "1.20 (1.10 to inf)"),
        (ranged(None, 0.85, None), "not reached (0.850 to inf)"),
        (ranged(2048, 2048, 2048), "2048"),
    ],
)
def test_a_range_has_another_form_and_three_digits(of: Estimate, text: str) -> None:
    assert estimate_text(of) == text


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (estimate(0.53475, 0.1009, 0.9686), "0.5 [0.1, 0.97]"),
        (estimate(0.99, 0.95, 0.9996), "0.990 [0.950, 0.9996]"),
        (estimate(0.5, 0.004, 0.996), "0.5 [0.004, 0.996]"),
        (ranged(0.9999, 0.9997, 1.0), "0.9999 (0.9997 to 1.00)"),
        (ranged(0.0, 0.0, 0.00012), "0 (0 to 0.000120)"),
        # What is 0 or 1 is shown as that.
        (estimate(0.6, 0.0, 1.0), "0.6 [0.0, 1.0]"),
    ],
)
def test_no_number_becomes_0_or_1_by_rounding(of: Estimate, text: str) -> None:
    assert estimate_text(of) == text


@given(st.floats(1e-3, 1e6), st.floats(1e-3, 0.9))
def test_rounding_is_within_a_seventh_of_the_uncertainty(value: float, share: float) -> None:
    """The last digit is at least a tenth of 1/3.55 of the half-width: half of it rounds away."""
    half_width = share * value
    text = rounded(value, decimal_place(half_width))
    assert abs(float(text) - value) <= half_width / 7 * 1.001
