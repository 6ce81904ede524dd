from __future__ import annotations

import math

import pandas as pd
import pytest

from analysis.stats.accuracy import (
    differs,
    is_share,
    least_num,
    num_samples,
    sampling_bounds,
    with_sampling_error,
)
from bench.core.stats.intervals import Estimate, share


def test_the_bounds_are_wilsons() -> None:
    """81 of 263: [0.2553, 0.3662], Newcombe, Statistics in Medicine 17 (1998) 857-872, table I."""
    assert sampling_bounds(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    # Stored in float32 or averaged over batches, it is the same count of samples.
    assert sampling_bounds(0.949999988, 20) == pytest.approx(sampling_bounds(0.95, 20))
    assert sampling_bounds(1.0, 360)[0] == pytest.approx(share(360, 360).low or 0)
    assert sampling_bounds(0.9, math.nan) == (0.9, 0.9)


@pytest.mark.parametrize(
    ("first", "second", "num", "expected"),
    [
        (0.9708, 0.9710, 10_000, False),
        (0.9708, 0.9770, 10_000, True),
        # 56/70 against 48/80 differ by 0.2 with [0.0524, 0.3339]: Newcombe (1998), method 10, (a).
        (0.80, 0.60, 75, True),
        (0.95, 0.98, 360, True),
        (0.95, 0.96, 360, False),
    ],
)
def test_two_images_are_no_difference(
    first: float, second: float, num: int, expected: bool
) -> None:
    assert differs(first, second, num, num) == expected
    assert differs(second, first, num, num) == expected


@pytest.mark.parametrize("less", [48, 55, 56, 57, 62])
def test_the_test_agrees_with_the_interval_of_the_difference(less: int) -> None:
    """Newcombe's lower limit of 70 of 80 minus k of 80, by hand from Wilson's of both."""
    more, other = share(70, 80), share(less, 80)
    assert more.value is not None
    assert more.low is not None
    assert other.value is not None
    assert other.high is not None
    gap = more.value - other.value
    limit = gap - math.sqrt((more.value - more.low) ** 2 + (other.high - other.value) ** 2)
    assert differs(70 / 80, less / 80, 80, 80) == (limit > 0)


def estimate(low: float | None, high: float | None, num: int) -> Estimate:
    return Estimate(
        value=0.95, low=low, high=high, num=num, kind="interval" if num > 5 else "range"
    )


def test_what_is_shown_is_never_narrower_than_the_sampling_error() -> None:
    wilson = share(342, 360)
    narrow = with_sampling_error(estimate(0.949, 0.951, 8), 360)
    assert (narrow.low, narrow.high, narrow.kind) == (wilson.low, wilson.high, "interval")
    wide = with_sampling_error(estimate(0.5, 0.99, 8), 360)
    assert (wide.low, wide.high) == (0.5, 0.99)
    few = with_sampling_error(estimate(0.949, 0.951, 3), 360)
    assert (few.low, few.high, few.kind) == (wilson.low, wilson.high, "range")
    single = with_sampling_error(estimate(None, None, 1), 360)
    assert (single.low, single.high, single.kind) == (wilson.low, wilson.high, "interval")
    assert with_sampling_error(estimate(0.949, 0.951, 8), math.nan).low == 0.949


def test_which_columns_are_shares_and_of_how_many_samples() -> None:
    assert is_share("quality_test.accuracy")
    assert is_share("quality.worst_class_recall")
    assert not is_share("quality_test.loss")
    assert not is_share("serving.accuracy")
    runs = pd.DataFrame({"quality_test.num_samples": [360, None]})
    assert num_samples(runs, "quality_test.accuracy").tolist() == pytest.approx(
        [360, math.nan], nan_ok=True
    )
    assert least_num([math.nan, 360, 300]) == 300
    assert math.isnan(least_num([math.nan]))
