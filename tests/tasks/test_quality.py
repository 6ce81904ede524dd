"""Known answers worked out by hand, and scikit-learn's on random predictions."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn import metrics

from bench.tasks.quality import NO_CLASS, predicted_classes, quality, recorded


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    return torch.tensor(probabilities).log()


def test_known_answers() -> None:
    # Predicted 0, 0, 1, 1 for the true 0, 0, 0, 1.
    values = quality(
        logits_of([[0.9, 0.1], [0.6, 0.4], [0.4, 0.6], [0.1, 0.9]]), torch.tensor([0, 0, 0, 1])
    )
    assert values["accuracy"] == 3 / 4
    # Recall is 2/3 of class 0 and 1 of class 1; precision 1 and 1/2: F1 is 4/5 and 2/3.
    assert values["worst_class_recall"] == pytest.approx(2 / 3)
    assert values["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    losses = [math.log(1 / 0.9), math.log(1 / 0.6), math.log(1 / 0.4), math.log(1 / 0.9)]
    assert values["loss"] == pytest.approx(sum(losses) / 4)
    # Two bins of 15 are filled: 0.9 twice, both right, and 0.6 twice, one right.
    assert values["expected_calibration_error"] == pytest.approx((0.1 + 0.1) / 2, abs=1e-6)


def test_calibration_error_is_the_mean_gap_over_fifteen_bins() -> None:
    """A right one at 0.62 and a wrong one at 0.68: in bins of their own, which are 1/15 wide.

    The gaps are 0.38 and 0.68. Ten bins would have both in one, with a gap of 0.15; the root of
    the mean square would be 0.551.
    """
    values = quality(logits_of([[0.62, 0.38], [0.68, 0.32]]), torch.tensor([0, 1]))
    assert values["expected_calibration_error"] == pytest.approx((0.38 + 0.68) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("right", "num", "accuracy"), [(19, 20, 0.95), (342, 360, 0.95), (9, 10, 0.9), (22, 25, 0.88)]
)
def test_ratios_are_exact(right: int, num: int, accuracy: float) -> None:
    """Each of these is a little less in float32."""
    labels = torch.zeros(num, dtype=torch.long)
    logits = torch.tensor([[1.0, 0.0]] * right + [[0.0, 1.0]] * (num - right))
    values = quality(logits, labels)
    assert values["accuracy"] == values["worst_class_recall"] == accuracy


def test_a_class_that_is_ruled_out_has_no_probability() -> None:
    """exp(-inf) = 0 is a probability like others: what remains is torch's own cross-entropy."""
    labels = torch.tensor([0, 1, 2])
    logits = torch.full((3, 4), -torch.inf)
    logits[:, :3] = 3 * torch.eye(3)
    values = quality(logits, labels)
    assert values["accuracy"] == values["macro_f1"] == values["worst_class_recall"] == 1
    # Of three classes with logits 3, 0, 0: log(e^3 + 2) - 3.
    assert values["loss"] == pytest.approx(math.log(math.exp(3) + 2) - 3)


def test_ruling_out_the_true_class_costs_infinitely_much_and_is_wrong() -> None:
    values = quality(torch.tensor([[-torch.inf, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
    assert values["loss"] == math.inf
    assert values["accuracy"] == 0.5


@pytest.mark.parametrize("logits", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_a_sample_without_a_distribution_was_not_recognised(logits: list[float]) -> None:
    """Counts are known all the same: one of two is right of class 1, and none of class 0."""
    values = quality(torch.tensor([[0.0, 1.0], logits, [0.0, 1.0]]), torch.tensor([1, 1, 0]))
    assert math.isnan(values["loss"])
    assert math.isnan(values["expected_calibration_error"])
    assert values["accuracy"] == pytest.approx(1 / 3)
    assert values["worst_class_recall"] == 0.0
    # Class 1: 2 * 1 / (2 that occur + 2 that are predicted); class 0: none right.
    assert values["macro_f1"] == pytest.approx((2 / 4 + 0) / 2)


@pytest.mark.parametrize("logits", [[math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
def test_logits_that_are_no_distribution_have_no_quality(logits: list[float]) -> None:
    values = quality(torch.tensor([logits, logits]), torch.tensor([1, 0]))
    assert all(math.isnan(value) for value in values.values())
    assert set(recorded(values).values()) == {None}


def test_a_record_holds_no_infinity() -> None:
    assert recorded({"loss": math.inf, "accuracy": 0.5}) == {"loss": None, "accuracy": 0.5}


def test_fifteen_bins_and_absolute_gaps_make_the_calibration_error() -> None:
    """Unequal gaps in bins that 10 would merge: L2, or fewer bins, gives another number."""
    # Confidence 0.62 in the bin (0.6, 0.667], always right; 0.68 in (0.667, 0.733], always wrong.
    probabilities = [[0.62, 0.38]] * 3 + [[0.68, 0.32]]
    values = quality(logits_of(probabilities), torch.tensor([0, 0, 0, 1]))
    # L1: (3 * 0.38 + 1 * 0.68) / 4. L2 would be the root of (3 * 0.38^2 + 0.68^2) / 4; one bin of
    # all four, as of ten, |0.75 - 0.635|.
    expected = (3 * 0.38 + 0.68) / 4
    assert values["expected_calibration_error"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("label", [2, -100])
def test_a_label_that_is_no_class_is_named(label: int) -> None:
    with pytest.raises(ValueError, match=f"labels: a label is {label}, must be 0 to 1"):
        quality(torch.zeros(2, 2), torch.tensor([0, label]))


def test_as_scikit_learn_has_it() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (200,), generator=generator)
    logits = torch.randn(200, 5, generator=generator) + 1.5 * torch.eye(5)[labels]
    values = quality(logits, labels)
    predicted = logits.argmax(dim=1)
    assert values["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert values["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    recall = metrics.recall_score(labels, predicted, average=None)
    assert values["worst_class_recall"] == pytest.approx(min(recall))
    loss = metrics.log_loss(labels, logits.double().softmax(dim=1))
    assert values["loss"] == pytest.approx(loss, rel=1e-5)


def test_a_class_that_does_not_occur_is_not_the_worst() -> None:
    values = quality(logits_of([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]), torch.tensor([0, 1]))
    assert values["worst_class_recall"] == 1
    assert values["macro_f1"] == 1


def test_logits_within_0_and_1_are_not_taken_for_probabilities() -> None:
    # Logits 0.9 and 0.1 are a confidence of 1 / (1 + e^-0.8).
    values = quality(torch.tensor([[0.9, 0.1]]), torch.tensor([0]))
    expected = 1 - 1 / (1 + math.exp(-0.8))
    assert values["expected_calibration_error"] == pytest.approx(expected, abs=1e-6)


def test_half_precision_is_averaged_in_single() -> None:
    logits = torch.zeros(3000, 2, dtype=torch.bfloat16)
    values = quality(logits, torch.zeros(3000, dtype=torch.long))
    assert values["loss"] == pytest.approx(math.log(2), rel=1e-5)


@pytest.mark.parametrize(("num_logits", "num_labels"), [(0, 0), (3, 2)])
def test_shapes_that_do_not_fit_are_refused(num_logits: int, num_labels: int) -> None:
    with pytest.raises(ValueError, match=r"must be \(n, num_classes\) and \(n,\)"):
        quality(torch.zeros(num_logits, 2), torch.zeros(num_labels, dtype=torch.long))


def test_a_class_is_predicted_where_there_is_a_distribution() -> None:
    inf, nan = math.inf, math.nan
    rows = [[0.0, 1.0], [-inf, 0.0], [nan, 0.0], [inf, 0.0], [-inf, -inf]]
    assert predicted_classes(torch.tensor(rows)).tolist() == [1, 1] + [NO_CLASS] * 3
