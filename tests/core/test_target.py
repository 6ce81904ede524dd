from __future__ import annotations

import math

import numpy as np
import pytest

from bench.core.qualities import CLASSES
from bench.core.records.target import TargetMode, TargetRule
from bench.core.target import (
    Spent,
    Target,
    crossing_index,
    ladder,
    meets,
    require_possible,
    target_result,
)
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


def float32(value: float) -> float:
    return float(np.float32(value))


# k right of n, at the threshold exactly: float32 lies below it in the first two.
EXACT = [(19, 20, 0.95), (342, 360, 0.95), (9_000, 10_000, 0.9), (17, 20, 0.85)]


@pytest.mark.parametrize(("right", "num", "threshold"), EXACT)
def test_exactly_at_the_threshold_is_reached(right: int, num: int, threshold: float) -> None:
    for value in (right / num, float32(right / num), float32(float32(right) / float32(num))):
        assert crossing_index(curve([value]), target(threshold), finished=False) == 0
        (rung,) = ladder(curve([value]), target(1.0, rungs=(threshold,)))
        assert rung.reached


def test_a_mean_over_batches_in_float32_reaches_its_threshold() -> None:
    """As Lightning takes the mean of what is logged batch by batch: each step is rounded."""
    sizes = [50] * 7 + [10]
    rights = [49, 48, 47, 46, 48, 47, 48, 9]  # 342 of 360
    total = np.float32(0)
    for right, size in zip(rights, sizes, strict=True):
        total += np.float32(right / size) * np.float32(size)
    assert meets(float(total / np.float32(360)), 0.95, "max")


def test_a_loss_exactly_at_its_threshold_is_reached() -> None:
    # float32 gives 0.30000001192.
    assert float32(0.3) > 0.3
    assert meets(float32(0.3), 0.3, "min")
    assert not meets(0.300001, 0.3, "min")


@pytest.mark.parametrize("num", [20, 10_000, 1_000_000])
def test_one_sample_short_is_a_miss(num: int) -> None:
    right = round(0.95 * num) - 1
    assert not meets(right / num, 0.95, "max")
    assert not meets(float32(right / num), 0.95, "max")


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_value_that_is_not_a_number_meets_no_target(mode: TargetMode) -> None:
    assert not meets(math.nan, 0.5, mode)


@pytest.mark.parametrize("metric", CLASSES[1:])
def test_a_percentage_is_refused_as_a_fraction(metric: str) -> None:
    with pytest.raises(ValueError, match=rf"{metric}=78.125: {metric} lies between 0 and 1"):
        require_possible(metric, 78.125)
    for value in (0.0, 0.78125, float32(1.0000001), math.nan):
        require_possible(metric, value)


def test_a_loss_may_be_any_number_from_0_on() -> None:
    require_possible("loss", 78.125)
    with pytest.raises(ValueError, match="loss=-1: loss lies between 0 and inf"):
        require_possible("loss", -1.0)


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


def test_a_miss_names_the_limit_at_which_a_search_stopped_it() -> None:
    def named(*accuracies: float, finished: bool = False) -> str | None:
        spent = Spent(time_s=7.0, energy_j=33.0, samples=350)
        rows = curve(list(accuracies))
        options = {"finished": finished, "spent": spent, "cut_off_by": "max_time_s"}
        return target_result(rows, target(), **options).cut_off_by  # type: ignore[arg-type]

    assert named(0.5, 0.6) == "max_time_s"
    assert named(0.5, 0.6, finished=True) is None  # nothing was left to cut off
    assert named(0.5, 0.95) is None


def test_a_failure_has_a_cost_and_no_censoring_time() -> None:
    spent = Spent(time_s=7.0, energy_j=33.0, samples=350)
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


def test_the_best_value_is_over_all_evaluations_that_gave_a_number() -> None:
    def best(accuracies: list[float], asked: Target) -> float | None:
        return target_result(curve(accuracies), asked, finished=True, spent=None).best_value

    loss = target(0.1, metric="loss", mode="min")
    assert best([0.5, 0.8, 0.7, math.nan], target()) == 0.8
    assert best([0.5, 0.8], loss) == pytest.approx(0.2)
    assert best([math.nan], target()) is None
    assert best([], target()) is None
