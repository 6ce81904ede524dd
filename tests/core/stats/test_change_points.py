"""Change points of series whose changes are known."""

from __future__ import annotations

import math
from itertools import combinations, product
from statistics import fmean

import numpy as np
import pytest

from bench.core.arrays import Floats
from bench.core.stats import change_points as module
from bench.core.stats.change_points import ChangePoint, change_points


def noise(num: int, seed: int, sd: float = 0.01) -> Floats:
    return np.random.default_rng(seed).normal(1.0, sd, num)


def gain_of(first: Floats, second: Floats) -> float:
    """Matteson and James, equations 4 and 5, term by term."""
    n, m = len(first), len(second)
    across = fmean(abs(x - y) for x, y in product(first, second))
    within = [fmean(abs(x - y) for x, y in combinations(part, 2)) for part in (first, second)]
    return m * n / (m + n) * (2 * across - sum(within))


@pytest.mark.parametrize("seed", range(5))
def test_the_split_has_the_largest_energy_distance(seed: int) -> None:
    series = np.concatenate([noise(5, seed), 1.02 * noise(7, seed + 100)])
    gains = {k: gain_of(series[:k], series[k:]) for k in range(3, 10)}
    split = module._best_split(series)
    assert split is not None
    assert split.left == max(gains, key=gains.__getitem__)
    assert split.gain == pytest.approx(max(gains.values()))


def test_p_is_the_share_of_orders_that_split_as_well() -> None:
    # 8! orders, of which those with one value in each half: 2 of C(8, 4) = 70.
    (change,) = change_points([0, 0, 0, 0, 1, 1, 1, 1], level=0.05)
    assert (change.start, change.index, change.stop) == (0, 4, 8)
    assert change.p == pytest.approx(2 / 70, abs=0.012)  # from 999 orders: 2.3 standard errors
    # Three and three: 2 of C(6, 3) = 20.
    assert change_points([0, 0, 0, 1, 1, 1], level=0.05) == []


def test_several_changes_are_found_each_with_what_it_is_compared_with() -> None:
    series = np.concatenate([noise(15, 1), 1.1 * noise(12, 2), 0.95 * noise(10, 3)])
    found = change_points(series, level=0.01)
    assert [(each.start, each.index, each.stop) for each in found] == [(0, 15, 27), (15, 27, 37)]
    assert all(each.p <= 0.01 for each in found)
    assert found == change_points(series, level=0.01)  # nothing is left to chance


def test_a_drift_below_any_threshold_is_found() -> None:
    """0.3% with each value, and noise of 1%: no two neighbours can be told apart."""
    series = noise(40, 4) * (1 + 0.003 * np.arange(40))
    found = change_points(series, level=0.01)
    assert found
    assert series[found[-1].index :].mean() > 1.05 * series[: found[0].index].mean()


def test_one_odd_value_is_no_change() -> None:
    series = noise(30, 5)
    series[17] = 2.0
    assert change_points(series, level=0.05) == []


def test_where_nothing_changes_false_alarms_are_as_rare_as_the_level() -> None:
    found = [change_points(noise(16, 1000 + seed), level=0.1) for seed in range(50)]
    # Binomial (50, 0.1): more than 10 in one of a hundred.
    assert sum(map(bool, found)) <= 10


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 5, [1.0] * 40])
def test_too_few_values_or_equal_ones_have_no_change(values: list[float]) -> None:
    assert change_points(values, level=0.05) == []


def test_the_number_of_orders_follows_the_level() -> None:
    """A level of 1/2,000 takes 7,999 orders: 999 could not reach it."""
    (change,) = change_points([0.0] * 12 + [1.0] * 12, level=0.0005)
    assert change == ChangePoint(index=12, start=0, stop=24, p=1 / 8000)


@pytest.mark.parametrize(
    ("values", "level", "message"),
    [([math.inf, 1.0], 0.05, "finite"), ([math.nan], 0.05, "finite"), ([1.0], 1.0, "between")],
)
def test_values_and_levels_that_cannot_be_are_refused(
    values: list[float], level: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        change_points(values, level=level)
