from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from bench.core.intervals import median, percentile_bounds, ratio_of_medians, share

INF = float("inf")


@pytest.mark.parametrize(
    ("num_hits", "num", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_shares_of_newcombe(num_hits: int, num: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3 (Wilson)."""
    estimate = share(num_hits, num)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=5e-5)
    assert estimate.value == num_hits / num


@pytest.mark.parametrize(("num_hits", "num"), [(3, 2), (-1, 2), (0, 0)])
def test_no_share_is_refused(num_hits: int, num: int) -> None:
    with pytest.raises(ValueError, match="need 0 <= hits <= runs"):
        share(num_hits, num)


def test_the_median_of_three_spans_all_of_them() -> None:
    """P(median of a resample = smallest) = P(it is drawn at least twice) = 7/27 > 2.5%."""
    estimate = median([3, 1, 2])
    assert (estimate.low, estimate.value, estimate.high) == (1, 2, 3)
    assert estimate.num == 3


def test_the_median_agrees_with_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(0).lognormal(size=31)
    theirs = bootstrap((values,), np.median, method="percentile", n_resamples=20_000, rng=0)
    ours = median(values, num_resamples=20_000)
    interval = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=0.03)


def test_the_median_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(300):
        estimate = median(rng.lognormal(size=20), num_resamples=400)
        assert estimate.low is not None
        assert estimate.high is not None
        held += estimate.low <= 1.0 <= estimate.high
    assert 270 <= held <= 297


def test_misses_are_the_worst_and_never_dropped() -> None:
    estimate = median([1, 2, INF])
    assert (estimate.value, estimate.low, estimate.high) == (2, 1, None)
    # At least two misses of three draws: 3 (1/9) (2/3) + 1/27 = 7/27.
    assert estimate.unbounded_frac == pytest.approx(7 / 27, abs=0.03)
    missed = median([1, INF, INF, INF])
    assert (missed.value, missed.high) == (None, None)
    assert median([1, 1, INF, INF]).value is None  # the middle lies between a hit and a miss


def test_one_value_has_no_interval_and_nan_is_refused() -> None:
    estimate = median([5.0])
    assert (estimate.value, estimate.low, estimate.high, estimate.num) == (5, None, None, 1)
    with pytest.raises(ValueError, match="at least one"):
        median([])
    with pytest.raises(ValueError, match="NaN is not a value"):
        median([1, float("nan")])


def test_a_ratio_is_of_medians() -> None:
    """Medians 6 and 2; the resampled ones lie in 4..8 and 1..4."""
    estimate = ratio_of_medians([4, 6, 8], [1, 2, 4])
    assert estimate.value == 3
    assert (estimate.low, estimate.high) == (1, 8)
    assert ratio_of_medians([2, 2], [1, 1, 1]).low == 2


def test_a_ratio_agrees_with_scipys_bootstrap() -> None:
    rng = np.random.default_rng(5)
    above, below = rng.lognormal(1, 0.3, 25), rng.lognormal(0, 0.3, 35)

    def ratio(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(np.median(x, axis=axis) / np.median(y, axis=axis))

    theirs = bootstrap((above, below), ratio, method="percentile", n_resamples=20_000, rng=0)
    ours = ratio_of_medians(above, below, num_resamples=20_000)
    interval = theirs.confidence_interval
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), rel=0.03)


def test_a_ratio_of_two_misses_says_nothing() -> None:
    estimate = ratio_of_medians([INF, INF], [INF, INF])
    assert (estimate.value, estimate.high) == (None, None)
    assert estimate.low == 0
    assert estimate.unbounded_frac == 1
    against_hits = ratio_of_medians([INF, INF, INF], [1, 2, 3])
    assert (against_hits.value, against_hits.low, against_hits.high) == (None, None, None)
    assert ratio_of_medians([1, 2, 3], [INF, INF, INF]).value == 0
    with pytest.raises(ValueError, match="must not be negative"):
        ratio_of_medians([-1], [1])


def test_bounds_are_ranks() -> None:
    """Of 1..100 the middle 90% leaves out five at each end."""
    assert percentile_bounds(np.arange(1.0, 101.0), 0.9) == (6, 95)


def test_the_same_seed_gives_the_same() -> None:
    values = [1.0, 4.0, 2.0, 8.0, 5.0]
    assert median(values, seed=3) == median(values, seed=3)
