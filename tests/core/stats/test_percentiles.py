from __future__ import annotations

import random

import pytest
from scipy.stats import binom

from bench.core.stats.percentiles import latency_percentile, percentile_floor


@pytest.mark.parametrize(
    ("q", "floor"),
    [
        (0.5, 11),  # (1 + n) / 2^n: 11/1024 = 1.07% at n = 10, 12/2048 = 0.59% at n = 11
        (0.9, 64),  # the others as in MLPerf's documents and LoadGen's own tests
        (0.95, 130),
        (0.97, 219),
        (0.99, 662),
        (0.999, 6636),
    ],
)
def test_floors_are_those_of_mlperf(q: float, floor: int) -> None:
    assert percentile_floor(q) == floor


@pytest.mark.parametrize("q", [0.01, 0.3, 0.75, 0.98, 0.9999, 0.999999])
def test_floor_is_where_the_binomial_tail_first_falls_below_one_percent(q: float) -> None:
    floor = percentile_floor(q)
    assert binom.cdf(1, floor, 1 - q) <= 0.01 < binom.cdf(1, floor - 1, 1 - q)


def test_percentile_is_the_nearest_rank_whatever_the_order() -> None:
    values_ms = [float(n) for n in range(1, 1001)]
    random.Random(0).shuffle(values_ms)
    # ceil(0.5 x 1000) = 500, ceil(0.9 x 1000) = 900, ceil(0.99 x 1000) = 990
    assert latency_percentile(values_ms, 0.5) == 500.0
    assert latency_percentile(values_ms, 0.9) == 900.0
    assert latency_percentile(values_ms, 0.99) == 990.0


def test_percentile_rounds_its_rank_up() -> None:
    # ceil(0.5 x 11) = 6; ceil(0.9 x 65) = ceil(58.5) = 59
    assert latency_percentile([float(n) for n in range(1, 12)], 0.5) == 6.0
    assert latency_percentile([float(n) for n in range(1, 66)], 0.9) == 59.0


def test_percentile_takes_its_rank_from_the_decimal_and_not_from_its_binary_neighbour() -> None:
    # 0.07 x 100 is 7.000000000000001 in floating point, and would round up to 8.
    assert latency_percentile([float(n) for n in range(1, 101)], 0.07) == 7.0


def test_percentile_is_unknown_one_sample_below_its_floor() -> None:
    values_ms = [1.0] * 662
    assert latency_percentile(values_ms, 0.99) == 1.0
    assert latency_percentile(values_ms[1:], 0.99) is None
    assert latency_percentile([], 0.5) is None


@pytest.mark.parametrize("q", [0.0, 1.0, 99.0, -0.5, float("nan")])
def test_a_percentile_outside_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="must be a fraction between 0 and 1"):
        percentile_floor(q)
    with pytest.raises(ValueError, match=f"q={q}"):
        latency_percentile([1.0] * 10_000, q)
