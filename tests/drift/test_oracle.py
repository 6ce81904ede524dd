"""The oracle finds what trying every schedule finds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.drift.oracle import cheapest, deployed_models, fewest_joules, total_usd

Doubles = NDArray[np.float64]
PRICE = 0.1


def random_matrix(seed: int) -> tuple[Doubles, Doubles, int]:
    """Errors out of 20 with the entries below the diagonal missing, prices, number of windows."""
    rng = np.random.default_rng(seed)
    num_windows = int(rng.integers(2, 10))
    errors = rng.integers(0, 21, (num_windows, num_windows)).astype(np.float64)
    errors[np.tril_indices(num_windows, -1)] = np.nan
    return errors, PRICE * rng.integers(0, 15, num_windows).astype(np.float64), num_windows


def schedules(num_windows: int) -> list[tuple[int, ...]]:
    inner = range(num_windows - 1)
    return [each for size in range(num_windows) for each in combinations(inner, size)]


def joules_of(windows: tuple[int, ...], joules: Doubles) -> float:
    return float(sum(joules[window + 1] for window in windows))


def num_off_target(windows: tuple[int, ...], errors: Doubles, target: float) -> int:
    """Windows of 20 predictions below the target."""
    served, count = 0, 0
    for window in range(len(errors)):
        count += int((20 - errors[served, window]) / 20 < target)
        served = window + 1 if window in windows else served
    return count


@pytest.mark.parametrize("seed", range(50))
def test_the_cheapest_schedule_is_that_of_brute_force(seed: int) -> None:
    errors, prices, num_windows = random_matrix(seed)
    found = cheapest(errors, prices, PRICE)
    totals = {each: total_usd(each, errors, prices, PRICE) for each in schedules(num_windows)}
    least = min(totals.values())
    assert found.total_usd == pytest.approx(least)
    as_good = [each for each, total in totals.items() if total <= least + 1e-9]
    assert len(found.windows) == min(len(each) for each in as_good)


@pytest.mark.parametrize("seed", range(50))
def test_fewest_joules_is_that_of_brute_force(seed: int) -> None:
    errors, joules, num_windows = random_matrix(seed)
    found = fewest_joules(errors, np.full(num_windows, 20), joules, target=0.5)
    rank = min(
        (num_off_target(each, errors, 0.5), round(joules_of(each, joules), 9), len(each))
        for each in schedules(num_windows)
    )
    assert found.total_j == pytest.approx(joules_of(found.windows, joules))
    assert rank == (
        num_off_target(found.windows, errors, 0.5),
        round(joules_of(found.windows, joules), 9),
        len(found.windows),
    )


def test_a_schedule_by_hand() -> None:
    # Model 0 errs 1, 9, 9; model 1 (trained at the end of window 0, for 5) errs 1, 9 in windows 1
    # and 2; model 2 (for 5) errs 1 in window 2. At a price of 1: never 19, after window 0 alone
    # 1+5+1+9 = 16, after 1 alone 1+9+5+1 = 16, after both 1+5+1+5+1 = 13.
    errors = np.array([[1, 9, 9], [-1, 1, 9], [-1, -1, 1]], dtype=np.float64)
    prices = np.array([7.0, 5.0, 5.0])
    assert total_usd((), errors, prices, 1.0) == 19
    assert total_usd((0,), errors, prices, 1.0) == 16
    assert total_usd((1,), errors, prices, 1.0) == 16
    found = cheapest(errors, prices, 1.0)
    assert (found.windows, found.total_usd, found.total_j) == ((0, 1), 13.0, None)
    assert deployed_models((1,), 3).tolist() == [0, 0, 2]


def test_equal_totals_go_to_fewer_retrainings() -> None:
    errors = np.array([[0, 5], [0, 0]], dtype=np.float64)
    assert cheapest(errors, np.array([0.0, 0.5]), 0.1).windows == ()


def test_a_model_that_cannot_be_trained_is_in_no_schedule() -> None:
    errors = np.array([[0, 9, 9], [0, np.nan, np.nan], [0, 0, 5]], dtype=np.float64)
    found = cheapest(errors, np.array([0.0, np.inf, 1.0]), 1.0)
    assert (found.windows, found.total_usd) == ((1,), 15.0)
    economical = fewest_joules(errors, np.full(3, 10), np.array([0.0, np.inf, 1.0]), target=0.5)
    assert (economical.windows, economical.total_j) == ((1,), 1.0)


def test_a_window_without_truth_is_on_target() -> None:
    errors = np.zeros((2, 2))
    assert fewest_joules(errors, np.array([10, 0]), np.ones(2), target=0.9).windows == ()


def test_a_window_that_no_model_holds_costs_no_joules() -> None:
    errors = np.full((3, 3), 10.0)
    assert fewest_joules(errors, np.full(3, 10), np.ones(3), target=0.9).windows == ()


def test_four_hundred_windows_take_no_time_worth_mentioning() -> None:
    rng = np.random.default_rng(0)
    errors = rng.integers(0, 100, (400, 400)).astype(np.float64)
    found = cheapest(errors, np.full(400, 40.0), 1.0)
    assert found.total_usd is not None
    for interval in (1, 4, 400):
        periodic = tuple(range(interval - 1, 399, interval))
        assert found.total_usd <= total_usd(periodic, errors, np.full(400, 40.0), 1.0)
