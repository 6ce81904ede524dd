from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.stats.expected_cost import expected_cost, simulated_restarts
from analysis.stats.outcomes import Outcomes


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
    assert expected_cost(made(hits, others)).value == pytest.approx(expected)


def test_without_a_hit_it_is_infinite() -> None:
    estimate = expected_cost(made([], [3, 4]))
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert estimate.num == 2


def test_its_interval_combines_the_rate_and_both_means() -> None:
    """Six of eight hit, at a cost of 1; two miss at 2: the value is 1 + 1/3 * 2. Neither cost
    varies, so the rate alone decides: Clopper and Pearson's interval of 6/8 is [0.34914, 0.96815],
    from tables of the F distribution, and the odds of a miss lie between 0.03290 and 1.86418.
    """
    estimate = expected_cost(made([1] * 6, [2] * 2))
    assert estimate.value == pytest.approx(5 / 3)
    assert estimate.kind == "interval"
    assert estimate.low == pytest.approx(1 + 2 * 0.03290, abs=1e-4)
    assert estimate.high == pytest.approx(1 + 2 * 1.86418, abs=1e-3)


def test_the_spread_of_costs_is_added_to_that_of_the_rate() -> None:
    """Hits of 1 and 3, six times in all: mean 2, standard deviation sqrt(6/5); Student's quantile
    of 5 degrees of freedom is 2.5706: half of the interval is 2.5706 * sqrt(1.2 / 6) = 1.1496.
    """
    constant = expected_cost(made([2] * 6, [4] * 2))
    spread = expected_cost(made([1, 3] * 3, [4] * 2))
    assert spread.value == constant.value == pytest.approx(2 + 4 / 3)
    assert constant.value is not None
    assert constant.high is not None
    assert spread.high == pytest.approx(
        constant.value + np.hypot(constant.high - constant.value, 1.1496), abs=1e-3
    )


@pytest.mark.parametrize(
    ("num_hits", "num_others"),
    [(5, 0), (3, 2), (8, 0), (16, 0), (1, 9)],
    ids=["few", "few_mixed", "no_miss", "many_without_miss", "one_hit"],
)
def test_no_interval_without_any_information_on_the_spread(num_hits: int, num_others: int) -> None:
    estimate = expected_cost(made([1.0] * num_hits, [2.0] * num_others))
    assert estimate.value is not None
    assert (estimate.low, estimate.high) == (None, None)


@pytest.mark.parametrize("rate", [0.4, 0.7, 0.9])
def test_the_interval_holds_the_truth_at_least_as_often_as_it_says(rate: float) -> None:
    """Hits cost 1 on average (lognormal), misses 3. Of 200 intervals 190 should hold the truth; the
    standard error is 3.1. benchmarks/coverage.py has more of this.
    """
    rng = np.random.default_rng(1)
    held: list[bool] = []
    while len(held) < 200:
        num_hits = int(rng.binomial(8, rate))
        costs = np.exp(0.3 * rng.normal(size=num_hits) - 0.045)
        estimate = expected_cost(made(costs.tolist(), [3.0] * (8 - num_hits)))
        if estimate.low is not None and estimate.high is not None:
            held.append(estimate.low <= 1 + (1 - rate) / rate * 3 <= estimate.high)
    assert sum(held) >= 183


def test_an_unknown_cost_makes_it_unknown() -> None:
    estimate = expected_cost(made([1, float("nan")], [2]))
    assert estimate.num == 3
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    with pytest.raises(ValueError, match="cost of 1 runs is unknown"):
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
    assert (simulated_restarts(runs, seed=4) == simulated_restarts(runs, seed=4)).all()


def test_no_hits_and_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="restarting would never end"):
        simulated_restarts(made([], [1]))
    with pytest.raises(ValueError, match="no runs"):
        expected_cost(made([], []))
