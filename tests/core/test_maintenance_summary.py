"""What a deployment achieved follows from its windows and events, also after a kill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.core.maintenance_summary import UPKEEP, num_wasted, on_target_predictions, summarise
from bench.core.records.maintenance import MaintenanceEvent, WindowRow

SIZE = 100


def row(window: int, errors: int, **facts: Any) -> WindowRow:
    made = WindowRow(
        window=window,
        first=window * SIZE,
        num_predictions=SIZE,
        num_judged=SIZE,
        errors=errors,
        accuracy=1 - errors / SIZE,
        num_known=SIZE,
        known_accuracy=None,
        model=0,
        strength=0.0,
        serve_s=1.0,
    )
    joules: dict[str, Any] = {f"{phase}_j": 0.0 for phase in ("serve", *UPKEEP)}
    return replace(made, **joules | facts)


def promotion(prediction: int, model: int = 1) -> MaintenanceEvent:
    return MaintenanceEvent(kind="promotion", window=None, prediction=prediction, model=model)


def alarm(prediction: int, *, is_false: bool, delay: int | None = None) -> MaintenanceEvent:
    return MaintenanceEvent(
        kind="alarm", window=None, prediction=prediction, is_false=is_false, delay=delay
    )


CONFIG: dict[str, Any] = {
    "choices": {"policy": "every", "detector": "ks"},
    "detector": {"_target_": "my.Detector"},
    "stream": {"window": SIZE},
    "target": {"value": 0.9},
    "labels": {"price_usd": 0.0},
    "retrain": {"manual_hours": 0.0},
}


def summed(rows: list[WindowRow], events: list[MaintenanceEvent], **options: Any) -> Any:
    return summarise(CONFIG | options, rows, events)


def test_quality_is_judged_window_by_window() -> None:
    """Accuracies 0.95, 0.90, 0.80 and 0.85 at a target of 0.9: two of four windows hold it, and
    the others lack 100 x 0.10 + 100 x 0.05 = 15 right answers."""
    made = summed([row(num, errors) for num, errors in enumerate((5, 10, 20, 15))], [])
    assert made.on_target_frac == 0.5
    assert made.excess_errors == pytest.approx(15.0)
    assert made.num_errors == 50
    assert made.mean_accuracy == pytest.approx(0.875)
    assert made.worst_accuracy == pytest.approx(0.80)


def test_the_accuracy_to_hold_may_differ_from_the_target_of_a_training() -> None:
    rows = [row(0, 5), row(1, 15)]
    assert summed(rows, []).on_target_frac == 0.5
    assert summed(rows, [], accuracy_to_hold=0.8).on_target_frac == 1.0


def test_windows_whose_truth_nobody_learns_count_for_no_quality() -> None:
    unknown = replace(row(1, 0), num_judged=0, accuracy=None)
    made = summed([row(0, 20), unknown], [])
    assert made.on_target_frac == 0.0
    assert made.mean_accuracy == pytest.approx(0.8)
    assert made.num_predictions == 2 * SIZE
    assert summed([unknown], []).on_target_frac is None


def test_energy_to_stay_accurate_is_upkeep_per_1000_predictions_on_target() -> None:
    """Upkeep 1 + 2 + 30 + 4 = 37 J in each of 2 windows, of which one (100 predictions) is on
    target: 74 J / 0.1 thousand. Serving and observing do not count."""
    joules = {"detect_j": 1.0, "decide_j": 2.0, "retrain_j": 30.0, "promote_j": 4.0}
    rows = [row(0, 5, serve_j=500.0, **joules), row(1, 50, observe_j=700.0, **joules)]
    made = summed(rows, [])
    assert made.upkeep_j == pytest.approx(74.0)
    assert made.energy_per_1000_on_target_j == pytest.approx(740.0)
    assert made.detect_energy_per_prediction_j == pytest.approx(2 / 200)
    # Never on target: there is no such energy, and not 0 or infinity.
    assert summed([row(0, 50, **joules)], []).energy_per_1000_on_target_j is None
    # One unknown reading makes the sum unknown.
    assert summed([rows[0], replace(rows[1], retrain_j=None)], []).upkeep_j is None


def test_the_monitor_is_charged_as_a_ratio_of_times() -> None:
    """(1 + 0.5) / 1 in every window; without a detector exactly 1."""
    watched = summed([row(num, 0, detect_s=0.5) for num in range(8)], [])
    assert watched.monitor_latency_ratio == pytest.approx(1.5)
    assert watched.detect_time_per_prediction_s == pytest.approx(0.005)
    alone = summed([row(num, 0) for num in range(8)], [])
    assert (alone.monitor_latency_ratio_low, alone.monitor_latency_ratio_high) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("before", "after", "wasted"),
    [
        # Standard error of the difference: sqrt(0.2 x 0.8 / 100 + 0.1 x 0.9 / 100) = 0.05. So a
        # gain of 0.10 is just 2 of them, and one of 0.11 (errors 20 -> 9: 0.0490) is more.
        (20, 10, 1),
        (20, 9, 0),
        (10, 20, 1),
        (0, 0, 1),
    ],
)
def test_a_retraining_is_wasted_without_a_significant_gain(
    before: int, after: int, wasted: int
) -> None:
    rows = [row(0, before), row(1, after)]
    assert num_wasted(rows, [promotion(SIZE)], SIZE) == wasted


def test_a_model_that_takes_over_in_the_middle_is_judged_by_whole_windows() -> None:
    """It takes over at prediction 150, in window 1: window 0 is before, window 2 after."""
    rows = [row(0, 30), row(1, 90), row(2, 5)]
    assert num_wasted(rows, [promotion(150)], SIZE) == 0
    assert num_wasted(rows[:2], [promotion(150)], SIZE) == 0  # no window to judge it by


@pytest.mark.parametrize("unknown", [0, 1])
def test_a_retraining_is_not_wasted_if_the_truth_of_a_window_is_unknown(unknown: int) -> None:
    rows = [row(0, 20), row(1, 20)]
    rows[unknown] = replace(rows[unknown], num_judged=0, errors=0, accuracy=None)
    assert num_wasted(rows, [promotion(SIZE)], SIZE) == 0


def test_labels_are_charged_if_somebody_pays_for_them() -> None:
    """Two windows of 100 labels at 0.01 each; labels that only become known cost nothing."""
    priced = {"labels": {"price_usd": 0.01}}
    paid = summed([row(0, 0, num_paid=SIZE), row(1, 0, num_paid=SIZE)], [], **priced)
    assert (paid.labels_used, paid.labels_cost_usd) == (200, pytest.approx(2.0))
    unused = summed([row(0, 0), row(1, 0)], [], **priced)
    assert (unused.labels_used, unused.labels_cost_usd) == (0, 0.0)


def test_alarms_are_counted_by_what_really_changed() -> None:
    """Changes at 100 and 300; alarms at 50 (nothing had changed), 130 (30 after the first change)
    and 180 (the same change again). The second change is missed."""
    rows = [row(num, 0, statistic=0.1) for num in range(4)]
    changes = [MaintenanceEvent(kind="change", window=None, prediction=at) for at in (100, 300)]
    alarms = [alarm(50, is_false=True), alarm(130, is_false=False, delay=30)]
    made = summed(rows, [*changes, *alarms, alarm(180, is_false=False)])
    assert (made.num_alarms, made.num_false_alarms, made.num_missed) == (3, 1, 1)
    assert made.false_alarms_per_10k == pytest.approx(1 / 400 * 10_000)
    assert made.detection_delay_mean == 30
    # A run that was killed before the second change has not missed it.
    assert summed(rows[:3], [*changes, *alarms]).num_missed == 0


def test_a_detector_without_a_statistic_that_never_alarms_has_missed_the_change() -> None:
    """river's detectors have none. Counting only the runs with an alarm would hide those that
    found nothing, and make false alarms look more frequent than they are."""
    rows = [row(num, 0) for num in range(4)]
    change = MaintenanceEvent(kind="change", window=None, prediction=100)
    made = summed(rows, [change])
    assert (made.num_alarms, made.num_false_alarms, made.num_missed) == (0, 0, 1)
    assert summed(rows, [change], detector={}).num_missed is None  # nobody watched


def test_nobody_knows_whether_alarms_on_natural_drift_are_false() -> None:
    rows = [row(num, 0, statistic=0.1, strength=None) for num in range(4)]
    made = summed(rows, [replace(alarm(50, is_false=True), is_false=None)])
    assert made.num_alarms == 1
    assert made.num_false_alarms is None
    assert made.num_missed is None


def test_the_delay_of_a_swap_is_from_the_decision_to_the_new_model() -> None:
    begun = MaintenanceEvent(kind="retraining", window=0, prediction=100, model=1, init_s=0.5)
    made = summed([row(0, 0, staleness=10.0), row(1, 0, staleness=30.0)], [begun, promotion(150)])
    assert made.swap_delay_mean == 50
    assert made.staleness_mean == pytest.approx(20.0)
    assert made.retrain_init_s == 0.5


def test_windows_on_target_are_judged_as_targets_are() -> None:
    """19/20 in float32 is a little less than 0.95, and meets it."""
    assert on_target_predictions([row(0, 5)], 0.95) == SIZE
