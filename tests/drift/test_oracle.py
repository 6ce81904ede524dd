"""The oracle finds what trying every schedule finds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.drift.oracle import cheapest, deployed_models, fewest_joules, total_usd
from bench.drift.policies.base import Policy
from bench.drift.policies.cost_aware import CostAware
from bench.drift.policies.oracle import Oracle
from bench.drift.policies.performance import Performance
from bench.drift.policies.periodic import Every, Never
from tests.drift.made_views import WINDOW, outcomes, view_of

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


def drifting(seed: int, shape: str) -> Doubles:
    """Errors of each model in each window of a stream whose world moves as its shape says.

    A model errs in 5% of the predictions, and in more, the farther the world has moved since the
    window before it.
    """
    rng, time = np.random.default_rng([5, seed]), np.arange(37) / 36
    world = {
        "none": 0 * time,
        "sudden": (time > 0.5).astype(np.float64),
        "gradual": time,
        "seasonal": (1 - np.cos(4 * np.pi * time)) / 2,
    }[shape]
    moved = np.abs(world[None, 1:] - world[:-1, None])
    return rng.binomial(WINDOW, 0.05 + 0.4 * moved).astype(np.float64)


def executed(policy: Policy, errors: Doubles, retraining_usd: float, price: float) -> list[int]:
    """The windows at whose end a policy retrains, if it knows the errors of each window at once."""
    windows: list[int] = []
    for window in range(len(errors)):
        last = windows[-1] if windows else -1
        view = view_of(
            window,
            outcomes(int(errors[last + 1, window])),
            since=window - last,
            error_price_usd=price,
            retraining_usd=retraining_usd,
        )
        if policy.decide(view).retrain and window + 1 < len(errors):
            windows.append(window)
    return windows


@pytest.mark.parametrize("shape", ["none", "sudden", "gradual", "seasonal"])
@pytest.mark.parametrize("price", [0.01, 0.1, 1.0])
def test_no_policy_is_cheaper_than_the_oracle_which_can_be_executed(
    shape: str, price: float
) -> None:
    for seed in range(10):
        errors, prices = drifting(seed, shape), np.full(36, 2.0)
        best = cheapest(errors, prices, price)
        assert best.total_usd is not None
        for policy in (
            Never(),
            Every(windows=1),
            Every(windows=4),
            Performance(threshold=None, patience=1, min_labels=30),
            CostAware(min_labels=30),
        ):
            windows = executed(policy, errors, 2.0, price)
            assert total_usd(windows, errors, prices, price) >= best.total_usd - 1e-9
        oracle = Oracle(matrix=None, objective="cost")
        oracle.set_schedule(best.windows)
        assert executed(oracle, errors, 2.0, price) == list(best.windows)


def test_the_cost_aware_policy_spends_less_than_the_clock_where_nothing_changes() -> None:
    errors, prices = drifting(0, "none"), np.full(36, 2.0)
    spent = {
        policy.name: total_usd(executed(policy, errors, 2.0, 0.1), errors, prices, 0.1)
        for policy in (CostAware(min_labels=30), Every(windows=4))
    }
    assert spent["cost_aware"] + 15 < spent["every"]
