from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.outcomes import Outcomes
from analysis.restarts import expected_cost, simulated_restarts


def made(hits: list[float], others: list[float]) -> Outcomes:
    hit = np.repeat([True, False], [len(hits), len(others)])
    return Outcomes(cost=np.array([*hits, *others], dtype=float), hit=hit, failed=hit & False)


@pytest.mark.parametrize(
    ("seconds", "num_hits", "expected_s"), [(79, 35, 113), (29, 33, 44), (57, 30, 95)]
)
def test_records_of_cifar10_with_their_misses(
    seconds: float, num_hits: int, expected_s: float
) -> None:
    """DAWNBench records whose authors published how many of 50 repeats reached 94%; a run that did
    not costs the whole schedule, as one that did: 79 / 0.70 = 113, 29 / 0.66 = 44, 57 / 0.60 = 95.
    """
    runs = made([seconds] * num_hits, [seconds] * (50 - num_hits))
    value = expected_cost(runs).value
    assert value is not None
    assert round(value) == expected_s


def test_it_is_hits_and_the_misses_before_each() -> None:
    """p = 1/2: mean hit (4 + 6) / 2 = 5, plus (1 - p) / p = 1 times the mean miss (20 + 30) / 2."""
    estimate = expected_cost(made([4, 6], [20, 30]))
    assert estimate.value == 30
    assert estimate.num == 4


@given(
    st.lists(st.floats(0.1, 100), min_size=1, max_size=8), st.lists(st.floats(0.1, 100), max_size=8)
)
@settings(max_examples=60, deadline=None)
def test_it_is_all_costs_over_the_number_of_hits(hits: list[float], others: list[float]) -> None:
    rate = len(hits) / (len(hits) + len(others))
    of_misses = (1 - rate) / rate * float(np.mean(others)) if others else 0.0
    expected = float(np.mean(hits)) + of_misses
    assert expected_cost(made(hits, others), num_resamples=10).value == pytest.approx(expected)


def test_without_a_hit_it_is_infinite() -> None:
    estimate = expected_cost(made([], [3, 4]))
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert estimate.unbounded_frac == 1.0


def test_an_upper_bound_is_infinite_where_resamples_have_no_hit() -> None:
    """One hit of three: (2/3)^3 = 29.6% of resamples hold no hit."""
    estimate = expected_cost(made([1], [5, 5]), num_resamples=20_000)
    assert estimate.value == 11
    assert estimate.high is None
    assert estimate.low == 1  # three times the hit: (1/3)^3 = 3.7% of resamples
    assert estimate.unbounded_frac == pytest.approx(8 / 27, abs=0.01)


def test_one_run_has_no_interval() -> None:
    estimate = expected_cost(made([4], []))
    assert (estimate.value, estimate.low, estimate.high, estimate.num) == (4, None, None, 1)


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Hits cost 1, misses 2, p = 0.7: the truth is 1 + 0.3 / 0.7 * 2 = 1.857. 95% of 300
    repetitions are 285; percentile intervals of 20 runs fall a little short of that.
    """
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        num_hits = int(rng.binomial(20, 0.7))
        runs = made([1.0] * num_hits, [2.0] * (20 - num_hits))
        estimate = expected_cost(runs, num_resamples=400)
        assert estimate.low is not None
        held += estimate.low <= 1.8571 <= (estimate.high or np.inf)
    assert held >= 270


def test_an_unknown_cost_makes_it_unknown() -> None:
    estimate = expected_cost(made([1, float("nan")], [2]))
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    with pytest.raises(ValueError, match="cost of 1 runs is not known"):
        simulated_restarts(made([1, float("nan")], [2]))


def test_simulated_restarts_are_geometric() -> None:
    """Every run costs 1 and p = 0.4: P(total = k) = 0.4 0.6^(k - 1), mean 1 / 0.4."""
    totals = simulated_restarts(made([1, 1], [1, 1, 1]), num_draws=40_000)
    for k in (1, 2, 3, 4):
        assert np.mean(totals == k) == pytest.approx(0.4 * 0.6 ** (k - 1), abs=0.01)
    assert totals.mean() == pytest.approx(2.5, rel=0.02)


def test_their_mean_is_the_expected_cost() -> None:
    runs = made([3, 5], [10, 20, 11])
    expected = expected_cost(runs).value
    assert simulated_restarts(runs, num_draws=60_000).mean() == pytest.approx(expected, rel=0.02)


def test_the_same_seed_gives_the_same() -> None:
    runs = made([3, 5], [10])
    assert expected_cost(runs, seed=4) == expected_cost(runs, seed=4)
    assert (simulated_restarts(runs, seed=4) == simulated_restarts(runs, seed=4)).all()


def test_no_hits_and_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="restarting would never end"):
        simulated_restarts(made([], [1]))
    with pytest.raises(ValueError, match="no runs"):
        expected_cost(made([], []))
