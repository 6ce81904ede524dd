from __future__ import annotations

import math

import pytest

from bench.core.records import TargetMode, TargetRule
from bench.core.target import Spent, Target, crossing_index, ladder, target_result
from tests.rows import curve


def target(
    value: float = 0.9,
    *,
    rule: TargetRule = "first",
    metric: str = "accuracy",
    mode: TargetMode = "max",
    rungs: tuple[float, ...] = (),
) -> Target:
    return Target(metric=metric, value=value, mode=mode, rule=rule, consecutive=2, ladder=rungs)


# The second evaluation touches 0.9, the third falls back, the fourth and fifth hold.
DIPPING = [0.5, 0.9, 0.8, 0.92, 0.95]


@pytest.mark.parametrize(
    ("rule", "finished", "index"),
    [("first", False, 1), ("consecutive", False, 4), ("final", True, 4), ("final", False, None)],
)
def test_each_rule_crosses_where_it_says(
    rule: TargetRule, finished: bool, index: int | None
) -> None:
    assert crossing_index(curve(DIPPING), target(rule=rule), finished=finished) == index


def test_final_rule_ignores_an_earlier_hit_that_did_not_hold() -> None:
    assert crossing_index(curve([0.95, 0.8]), target(rule="final"), finished=True) is None


def test_a_metric_that_is_better_smaller_crosses_downwards() -> None:
    # loss = 1 - accuracy in these curves: 0.5, 0.1, ...
    rows = curve(DIPPING)
    wanted = target(0.1001, metric="loss", mode="min")
    assert crossing_index(rows, wanted, finished=False) == 1


def test_a_metric_that_is_not_a_number_never_meets_a_target() -> None:
    assert crossing_index(curve([math.nan]), target(0.0), finished=True) is None


def test_the_crossing_gives_time_energy_and_their_two_factors() -> None:
    result = target_result(curve(DIPPING), target(), finished=False, spent=None)

    assert result.reached
    # The second evaluation: 2 x (1.5 + 0.5) s, 2 x 10 J, 2 x 100 samples.
    assert result.time_to_target_s == 4.0
    assert result.train_time_to_target_s == 3.0
    assert result.last_miss_s == 2.0
    assert result.energy_to_target_j == 20.0
    assert (result.samples_to_target, result.steps_to_target) == (200, 20)
    assert result.epochs_to_target == pytest.approx(0.2)
    assert result.time_per_sample_s is not None
    assert result.energy_per_sample_j is not None
    assert result.time_per_sample_s * 200 == pytest.approx(4.0)
    assert result.energy_per_sample_j * 200 == pytest.approx(20.0)
    assert result.censored_at_s is None


def test_consecutive_hits_are_bounded_below_by_the_last_miss() -> None:
    result = target_result(curve(DIPPING), target(rule="consecutive"), finished=False, spent=None)
    # Hits at 8 s and 10 s; the last evaluation that missed was at 6 s.
    assert (result.last_miss_s, result.time_to_target_s) == (6.0, 10.0)


def test_a_hit_at_the_first_evaluation_has_no_last_miss() -> None:
    result = target_result(curve([0.95]), target(), finished=False, spent=None)
    assert result.time_to_target_s == 2.0
    assert result.last_miss_s is None


def test_a_miss_is_censored_at_what_it_spent() -> None:
    spent = Spent(time_s=7.0, energy_j=33.0, samples=350)
    result = target_result(curve([0.5, 0.6]), target(), finished=True, spent=spent)

    assert not result.reached
    assert result.time_to_target_s is None
    assert result.energy_to_target_j is None
    assert (result.censored_at_s, result.censored_at_j) == (7.0, 33.0)
    assert result.time_per_sample_s == pytest.approx(7.0 / 350)


def test_a_failure_has_a_cost_and_no_censoring_time() -> None:
    spent = Spent(time_s=7.0, energy_j=None, samples=350)
    result = target_result([], target(), finished=False, spent=spent, censored=False)
    assert (result.censored_at_s, result.censored_at_j) == (None, None)
    assert result.time_per_sample_s == pytest.approx(0.02)


def test_nothing_is_divided_by_no_samples() -> None:
    spent = Spent(time_s=1.0, energy_j=1.0, samples=0)
    result = target_result([], target(), finished=False, spent=spent)
    assert result.time_per_sample_s is None
    assert result.energy_per_sample_j is None


def test_the_ladder_reports_the_first_time_at_each_rung() -> None:
    rungs = ladder(curve(DIPPING), target(rungs=(0.5, 0.91, 0.99)))
    assert [(rung.reached, rung.time_s, rung.energy_j, rung.samples) for rung in rungs] == [
        (True, 2.0, 10.0, 100),
        (True, 8.0, 40.0, 400),
        (False, None, None, None),
    ]
