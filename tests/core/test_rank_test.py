from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from bench.core.rank_test import p_better

INF = float("inf")


@pytest.mark.parametrize(
    ("num", "expected"), [(2, 1 / 6), (3, 1 / 20), (4, 1 / 70), (5, 1 / 252), (8, 1 / 12870)]
)
def test_the_smallest_p_is_one_of_all_arrangements(num: int, expected: float) -> None:
    """If all of one group are better, only one of (2n choose n) arrangements is as extreme."""
    first, second = np.arange(1.0, num + 1), np.arange(10.0, num + 10)
    assert p_better(first, second, "min") == pytest.approx(expected)
    assert p_better(second, first, "max") == pytest.approx(expected)
    assert p_better(second, first, "min") == pytest.approx(1.0)


def test_three_runs_against_three_can_never_show_it_at_five_percent() -> None:
    assert not p_better(np.array([1.0, 2, 3]), np.array([7.0, 8, 9]), "min") < 0.05


def test_misses_are_ties_at_the_worst_rank() -> None:
    """By hand: all arrangements of the 8 mid-ranks, counted by their sum in the first group."""
    first, second = np.array([1.0, 2, 3, INF]), np.array([4.0, INF, INF, INF])
    ranks = [1, 2, 3, 4, 6.5, 6.5, 6.5, 6.5]
    observed = 1 + 2 + 3 + 6.5
    sums = [sum(each) for each in combinations(ranks, 4)]
    expected = np.mean([each <= observed for each in sums])
    assert p_better(first, second, "min") == pytest.approx(expected)
    assert p_better(first, np.full(4, INF), "min") < 0.08


def test_all_equal_is_no_evidence() -> None:
    assert p_better(np.ones(5), np.ones(5), "min") == pytest.approx(1.0)
    assert np.isnan(p_better(np.ones(0), np.ones(5), "min"))


def test_many_runs_with_ties_are_close_to_the_exact_value() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 20, 40).astype(float), rng.integers(3, 23, 40).astype(float)
    p_value = p_better(first, second, "min")
    drawn = np.concatenate([first, second])
    observed = first.mean()
    draws = [rng.permutation(drawn)[:40].mean() <= observed for _ in range(4000)]
    assert p_value == pytest.approx(np.mean(draws), abs=0.02)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        # The best of four, one of four arrangements; tied with one of them, two.
        ([1.0], [2.0, 3.0, 4.0], 1 / 4),
        ([1.0], [1.0, 3.0, 4.0], 2 / 4),
        ([2.0, 3.0, 4.0], [1.0], 1.0),
        ([1.0, 2.0], [2.0], 2 / 3),
        ([5.0], [5.0], 1.0),
    ],
)
def test_a_single_run_is_compared_exactly_ties_included(
    first: list[float], second: list[float], p: float
) -> None:
    assert p_better(np.array(first), np.array(second), "min") == pytest.approx(p)
    # Turned round, the direction is too.
    assert p_better(-np.array(first), -np.array(second), "max") == pytest.approx(p)
