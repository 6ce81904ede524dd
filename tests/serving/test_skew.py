"""Training-serving skew: what counts as a difference, and that a planted one is found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.core.arrays import Inputs
from bench.core.records.skew import Skew
from bench.serving.skew import Rule, compare_paths

FEATURES = np.array([[0.0, 2.0], [-4.0, 1.0], [3.0, 0.5]], dtype=np.float32)
LOGITS = np.array([[5.0, 1.0], [2.0, 2.5], [-10.0, 3.0]], dtype=np.float32)
JUDGED = Rule(by="outputs", outputs_frac=1e-5)


def compared(serving: Inputs | None = FEATURES, answers: Inputs = LOGITS, **more: Any) -> Skew:
    options = {"rule": JUDGED, "predicts_classes": True, **more}
    return compare_paths(FEATURES, serving, LOGITS, answers, **options)


def test_equal_paths_have_no_skew() -> None:
    found = compared()
    assert not found.found
    assert found.finding is None
    assert found.num_samples == 3
    assert found.features_max_difference == 0.0
    assert found.outputs_max_difference == 0.0
    assert found.changed_predictions_frac == 0.0
    # 1e-6 of the largest feature, 4, and 1e-5 of the largest output, 10.
    assert found.features_tolerance == pytest.approx(4e-6)
    assert found.outputs_tolerance == pytest.approx(1e-4)


def test_rounding_is_no_skew_and_does_not_change_a_tied_prediction() -> None:
    tied = np.array([[5.0, 5.0], [2.0, 2.5], [-10.0, 3.0]], dtype=np.float32)
    rounded = tied + np.array([[0.0, 9e-5], [0, 0], [0, 0]], dtype=np.float32)
    found = compare_paths(
        FEATURES, FEATURES + np.float32(3e-6), tied, rounded, rule=JUDGED, predicts_classes=True
    )
    assert not found.found
    assert found.changed_predictions_frac == 0.0


def test_what_differs_is_said_with_its_amount() -> None:
    serving, answers = FEATURES.copy(), LOGITS.copy()
    serving[1, 0] += 1.5
    answers[1] = 4.0, 2.5
    found = compared(serving, answers, planted="celsius")
    assert found.found
    assert found.features_max_difference == 1.5
    assert found.outputs_max_difference == 2.0
    assert found.changed_predictions_frac == pytest.approx(1 / 3)
    assert found.finding == (
        "skew between training and serving: features differ by up to 1.5 (rounding: 4e-06), "
        "outputs differ by up to 2 (rounding: 0.0001), 33.3% of 3 predictions change; "
        "skew=celsius was planted"
    )


def test_features_alone_are_enough() -> None:
    assert compared(FEATURES + np.float32(1e-3)).found


def test_outputs_without_classes_have_no_predictions() -> None:
    found = compared(answers=LOGITS + np.float32(0.01), predicts_classes=False)
    assert found.found
    assert found.changed_predictions_frac is None
    assert "predictions" not in str(found.finding)


@pytest.mark.parametrize("by", ["features", "classes"])
def test_outputs_that_are_not_judged_are_reported(by: Any) -> None:
    found = compared(answers=LOGITS + np.float32(0.01), rule=Rule(by=by, outputs_frac=1e-5))
    assert not found.found
    assert found.outputs_max_difference == pytest.approx(0.01, rel=1e-3)
    assert found.outputs_tolerance is None


def test_features_that_nobody_sees_have_a_reason_and_a_changed_class_is_enough() -> None:
    found = compared(None, LOGITS[::-1].copy(), rule=Rule(by="classes", outputs_frac=1e-5))
    assert found.found
    assert found.features_max_difference is None
    assert found.features_tolerance is None
    assert "your own" in str(found.features_reason)
    assert "features" not in str(found.finding)
    # Of the rows [5, 1], [2, 2.5] and [-10, 3] in reverse, the first and the last change.
    assert found.changed_predictions_frac == pytest.approx(2 / 3)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_number_against_none_is_skew_and_none_against_none_is_not(value: float) -> None:
    broken = LOGITS.copy()
    broken[0, 1] = value
    found = compared(answers=broken)
    assert found.found
    assert found.outputs_max_difference is None
    assert "any amount, as one is no number" in str(found.finding)
    same = compare_paths(FEATURES, FEATURES, broken, broken, rule=JUDGED, predicts_classes=True)
    assert not same.found


def test_answers_of_another_length_are_skew() -> None:
    found = compared(answers=LOGITS[:, :1])
    assert found.found
    assert found.changed_predictions_frac is None


def test_inputs_of_several_tensors_are_compared_one_by_one() -> None:
    kind = [("tokens", np.int64, (2,)), ("mask", np.float32, (1,))]
    training = np.array([([1, 2], [0.5]), ([3, 4], [1.0])], dtype=kind)
    serving = training.copy()
    serving["tokens"][1, 0] = 7
    rule = {"rule": JUDGED, "predicts_classes": False}
    outputs = LOGITS[:2]
    assert not compare_paths(training, training.copy(), outputs, outputs, **rule).found  # type: ignore[arg-type]
    found = compare_paths(training, serving, outputs, outputs, **rule)  # type: ignore[arg-type]
    assert found.features_max_difference == 4
