from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, quantile_test

from bench.core.stats.intervals import (
    MIN_RUNS,
    Estimate,
    median,
    median_of_ratios,
    ratio_of_medians,
    share,
)

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


@pytest.mark.parametrize(
    ("num", "rank"), [(6, 1), (7, 1), (8, 1), (9, 2), (10, 2), (12, 3), (16, 4), (20, 6), (25, 8)]
)
def test_the_interval_of_a_median_is_of_ranks(num: int, rank: int) -> None:
    """Conover, Practical Nonparametric Statistics, table A3; the same as scipy's quantile_test."""
    values = np.arange(1.0, num + 1)
    estimate = median(np.random.default_rng(0).permutation(values))
    assert estimate.kind == "interval"
    assert (estimate.low, estimate.high) == (rank, num + 1 - rank)
    theirs = quantile_test(values, p=0.5).confidence_interval(0.95)
    assert (estimate.low, estimate.high) == (theirs.low, theirs.high)
    # The median lies outside if fewer than `rank` values lie on one side of it.
    assert 2 * binom.cdf(rank - 1, num, 0.5) <= 0.05 < 2 * binom.cdf(rank, num, 0.5)


def test_below_six_runs_there_is_a_range_and_no_interval() -> None:
    """The range of n runs misses the median with 2^(1 - n): 6.25% of five, 3.1% of six."""
    assert MIN_RUNS == 6
    for num in (2, 3, 4, 5):
        estimate = median(np.arange(1.0, num + 1))
        assert (estimate.kind, estimate.low, estimate.high) == ("range", 1, num)
    assert median([1, 2, 3, 4, 5, 6]).kind == "interval"
    # Of a lower confidence five are enough, of a higher one six are not.
    assert median([1, 2, 3, 4, 5], confidence=0.9).kind == "interval"
    assert median([1, 2, 3, 4, 5, 6], confidence=0.99).kind == "range"


def test_one_value_has_no_bounds_and_nan_is_refused() -> None:
    estimate = median([5.0])
    assert (estimate.value, estimate.low, estimate.high, estimate.num) == (5, None, None, 1)
    with pytest.raises(ValueError, match="at least one"):
        median([])
    with pytest.raises(ValueError, match="NaN is not a value"):
        median([1, float("nan")])


def test_misses_are_the_worst_and_never_dropped() -> None:
    estimate = median([1, 2, INF])
    assert (estimate.value, estimate.low, estimate.high) == (2, 1, None)
    missed = median([1, INF, INF, INF])
    assert (missed.value, missed.low, missed.high) == (None, 1, None)
    assert median([1, 1, INF, INF]).value is None  # the middle lies between a hit and a miss
    ten = median([1, 2, 3, 4, 5, 6, 7, 8, 9, INF])  # a miss beyond the rank of the upper bound
    assert (ten.value, ten.low, ten.high) == (5.5, 2, 9)


Draw = Callable[[np.random.Generator, int], np.ndarray]
# Each of median 1.
DRAWS: dict[str, Draw] = {
    "normal": lambda rng, n: 1 + 0.1 * rng.normal(size=n),
    "lognormal": lambda rng, n: rng.lognormal(size=n),
    "heavy": lambda rng, n: np.exp(0.1 * rng.standard_t(2, size=n)),
    "exponential": lambda rng, n: rng.exponential(size=n) / np.log(2),
}


def holds(estimate: Estimate, truth: float = 1.0) -> bool:
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.low <= truth <= estimate.high


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("num", [6, 8, 11, 16])
def test_a_median_holds_the_truth_as_often_as_it_says(name: str, num: int) -> None:
    """At least 95% of 600; the standard error is 0.9%. benchmarks/coverage.py has more of this."""
    rng = np.random.default_rng(num)
    held = sum(holds(median(DRAWS[name](rng, num))) for _ in range(600))
    assert held / 600 >= 0.95 - 3 * 0.009


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("num", [6, 7, 10, 16])
def test_a_ratio_holds_the_truth_as_often_as_it_says(name: str, num: int) -> None:
    rng = np.random.default_rng(num)
    draw = DRAWS[name]
    held = sum(holds(ratio_of_medians(draw(rng, num), draw(rng, num))) for _ in range(600))
    assert held / 600 >= 0.95 - 3 * 0.009


@pytest.mark.parametrize("num", [6, 7, 8, 13])
def test_a_ratio_to_runs_that_do_not_vary_holds_the_truth_too(num: int) -> None:
    """A percentile bootstrap holds it in 89% of cases for 7 and for 13 runs."""
    rng = np.random.default_rng(num)
    held = sum(
        holds(ratio_of_medians(DRAWS["normal"](rng, num), np.full(num, 2.0)), 0.5)
        for _ in range(600)
    )
    assert held / 600 >= 0.95 - 3 * 0.009


def test_the_interval_of_a_ratio_is_not_wider_than_needed() -> None:
    """Of ten runs with a spread of 10%, Student's interval of a difference of means has half a
    width of 2.1 * 0.1 * sqrt(2 / 10) = 9.4%; a median is less sure by sqrt(pi / 2): 11.8%.
    """
    rng = np.random.default_rng(1)
    widths = []
    for _ in range(300):
        estimate = ratio_of_medians(DRAWS["normal"](rng, 10), DRAWS["normal"](rng, 10))
        assert estimate.low is not None
        assert estimate.high is not None
        widths.append(np.log(estimate.high / estimate.low) / 2)
    assert np.median(widths) < 1.15 * 0.118


def test_the_bounds_of_a_ratio_are_distances_combined_on_a_log_scale() -> None:
    """Medians of 6 with bounds a factor e away on both sides, over a constant 2: exp(0 +- 1) times
    3; both varying: exp(+- sqrt(2)) times the ratio.
    """
    # Twelve values: the interval reaches from about the third to the tenth.
    varying = 6 * np.exp([-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1])
    one = ratio_of_medians(varying, np.full(12, 2.0))
    assert (one.value, one.low, one.high) == pytest.approx((3, 3 / np.e, 3 * np.e))
    both = ratio_of_medians(varying, varying)
    bound = np.exp(np.sqrt(2))
    assert (both.value, both.low, both.high) == pytest.approx((1, 1 / bound, bound))


def test_a_ratio_of_few_runs_is_a_range() -> None:
    """Medians 6 and 2; the smallest over the largest is 4/4, the reverse 8/1."""
    estimate = ratio_of_medians([4, 6, 8], [1, 2, 4])
    assert (estimate.value, estimate.low, estimate.high) == (3, 1, 8)
    assert estimate.kind == "range"
    assert ratio_of_medians(np.ones(5), np.ones(20)).kind == "range"
    single = ratio_of_medians([4], [1, 2, 3])
    assert (single.value, single.low, single.high, single.num) == (2, None, None, 1)


def test_a_ratio_of_two_misses_says_nothing() -> None:
    for num in (2, 8):
        estimate = ratio_of_medians([INF] * num, [INF] * num)
        assert (estimate.value, estimate.low, estimate.high) == (None, 0, None)
    against_hits = ratio_of_medians([INF] * 6, [1, 2, 3, 4, 5, 6])
    assert (against_hits.value, against_hits.low, against_hits.high) == (None, None, None)
    assert ratio_of_medians([1, 2, 3], [INF, INF, INF]).value == 0
    with pytest.raises(ValueError, match="must not be negative"):
        ratio_of_medians([-1], [1])


def test_a_miss_leaves_a_ratio_without_an_upper_bound() -> None:
    """The largest of six is in the interval of six, and not in that of ten."""
    six = ratio_of_medians([2, 2, 2, 2, 2, INF], np.ones(6))
    assert (six.value, six.low) == pytest.approx((2, 2))
    assert six.high is None
    assert ratio_of_medians([2.0] * 9 + [INF], np.ones(10)).high == pytest.approx(2)


def test_medians_of_zero_have_bounds_without_a_logarithm() -> None:
    assert ratio_of_medians(np.zeros(6), np.arange(1.0, 7)).high == 0
    unbounded = ratio_of_medians(np.ones(6), [0, 0, 1, 2, 3, 4])
    assert unbounded.value == pytest.approx(2 / 3)
    assert unbounded.low == pytest.approx(1 / 4, abs=0.03)
    assert unbounded.high is None


def test_pairs_have_the_exact_interval_of_their_ratios() -> None:
    """Seeds differ tenfold, each candidate by a few percent from its base: ratios 1.01 to 1.08."""
    base = np.array([1.0, 10, 3, 30, 100, 0.5, 7, 2])
    ratios = np.array([1.05, 1.01, 1.08, 1.03, 1.02, 1.06, 1.07, 1.04])
    estimate = median_of_ratios(base * ratios, base)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1.045, 1.01, 1.08))
    assert (estimate.kind, estimate.num) == ("interval", 8)
    # Taken for two groups of their own, the same runs say next to nothing.
    apart = ratio_of_medians(base * ratios, base)
    assert apart.low is not None
    assert apart.low < 0.1
    assert median_of_ratios([2, 4], [1, 1]).kind == "range"


def test_pairs_of_two_misses_say_nothing() -> None:
    some = median_of_ratios([2, INF, 2, 2, 2, 2, INF], [1, INF, 1, 1, 1, 1, 1])
    assert (some.value, some.low, some.high) == (2, 0, None)
    none = median_of_ratios([INF, INF], [INF, INF])
    assert (none.value, none.low, none.high) == (None, 0, None)
    with pytest.raises(ValueError, match="2 and 3 values; need pairs"):
        median_of_ratios([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="must not be negative"):
        median_of_ratios([-1.0], [1.0])
