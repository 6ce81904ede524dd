"""The estimated price of the whole grid."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.search.candidate import Candidate
from bench.search.grid_price import grid_price
from bench.search.trial import Result, Trial


def tried(place: int, spent: float, limit: float | None = None) -> Candidate:
    candidate = Candidate(place)
    trial = Trial(num=place, candidate=place, seed=0, limit=limit)
    candidate.take(trial, Result(spent=spent, reached=limit is None))
    return candidate


def test_without_stopped_runs_the_price_is_their_mean_for_each_run_of_the_grid() -> None:
    price = grid_price([tried(place, spent) for place, spent in enumerate((1.0, 2.0, 6.0))], 4, 3)
    assert price.value == pytest.approx(4 * 3 * 3.0)
    assert price.least == pytest.approx(3 * 9.0)
    assert (price.num_complete, price.num_stopped) == (3, 0)


def test_with_too_few_complete_runs_there_is_no_estimate() -> None:
    price = grid_price([tried(0, 1.0), tried(1, 2.0), tried(2, 3.0, limit=3.0)], 3, 2)
    assert price.value is None
    assert price.least == pytest.approx(12.0)


def test_a_stopped_run_stands_for_what_it_would_have_cost() -> None:
    # The mean of a log-normal with mean 0 and spread 1 of the logarithms is exp(0.5).
    rng = np.random.default_rng(0)
    costs = rng.lognormal(0.0, 1.0, size=4000)
    candidates = [
        tried(place, min(cost, 1.5), limit=1.5 if cost > 1.5 else None)
        for place, cost in enumerate(costs)
    ]
    price = grid_price(candidates, 4000, 1)
    assert price.value is not None
    assert price.value / 4000 == pytest.approx(math.exp(0.5), rel=0.05)
    assert price.least < price.value
