"""The expected cost with restarts; tests/analysis/stats/test_expected_cost.py has its misses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.core.stats.expected_cost import ert, expected_cost

HITS = np.ones(6, np.bool_)


def test_without_misses_there_is_an_interval_only_if_runs_cannot_miss() -> None:
    cost = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert expected_cost(cost, HITS).low is None
    sure = expected_cost(cost, HITS, misses=False)
    # Student's: 3.5 -+ 2.5706 * 1.8708 / sqrt(6).
    assert (sure.low, sure.high) == pytest.approx((3.5 - 1.9633, 3.5 + 1.9633), abs=1e-3)


def test_a_higher_confidence_is_wider() -> None:
    cost = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    hit = np.array([True, True, True, True, True, False])
    wide = expected_cost(cost, hit, confidence=0.99)
    narrow = expected_cost(cost, hit)
    assert wide.confidence == 0.99
    assert wide.value == narrow.value == 24 / 5
    assert wide.low is not None
    assert narrow.low is not None
    assert wide.high is not None
    assert narrow.high is not None
    assert wide.low < narrow.low < narrow.high < wide.high


def test_without_a_hit_it_is_infinite_and_with_an_unknown_cost_unknown() -> None:
    assert ert(np.array([1.0]), np.array([False])) == math.inf
    assert math.isnan(ert(np.array([1.0, np.nan]), np.array([True, True])))
    assert expected_cost(np.array([1.0]), np.array([False])).value is None


def test_with_equal_costs_the_bounds_are_those_of_the_hit_rate() -> None:
    """Each run costs 1, so the expected cost is 1 / hit rate, and its bounds are 1 / bounds of the
    rate. Clopper and Pearson for 5 of 6 at 95%: 0.3588 to 0.9958.
    """
    estimate = expected_cost(np.ones(6), np.arange(6) < 5)
    assert estimate.value == 6 / 5
    assert (estimate.low, estimate.high) == pytest.approx((1 / 0.9958, 1 / 0.3588), rel=2e-4)
