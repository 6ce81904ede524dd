"""Known answers worked out by hand, and scikit-learn's on random predictions."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn import metrics
from torch.nn.functional import binary_cross_entropy_with_logits

from bench.tasks.multilabel_quality import multilabel_quality

UNDEFINED_BY_ONE_NAN = ("loss", "log_loss", "brier_score", "auroc", "average_precision")


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_known_answers() -> None:
    """Label A is predicted right, wrong, right; label B wrong, right, right."""
    logits = torch.tensor(
        [[logit(0.9), logit(0.6)], [logit(0.8), logit(0.7)], [logit(0.1), logit(0.2)]],
        dtype=torch.float64,
    )
    values = multilabel_quality(logits, torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]))
    assert values["accuracy"] == 4 / 6
    # Each label occurs once, is predicted twice, and is found once.
    assert values["f1"] == values["macro_f1"] == pytest.approx(2 / 3)
    assert values["worst_class_recall"] == 1
    # Each positive is above both negatives of its label.
    assert values["auroc"] == values["average_precision"] == 1
    truth = [0.9, 0.4, 0.2, 0.7, 0.9, 0.8]  # the probability of what is true
    nats = [-math.log(p) for p in truth]
    assert values["loss"] == values["log_loss"] == pytest.approx(sum(nats) / 6)
    assert values["brier_score"] == pytest.approx(sum((1 - p) ** 2 for p in truth) / 6)


def test_as_scikit_learn_has_it() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(2, (200, 4), generator=generator)
    logits = torch.randn(200, 4, generator=generator) + targets
    values = multilabel_quality(logits, targets)
    predicted, probability = (logits > 0).long(), logits.double().sigmoid()
    recalls = metrics.recall_score(targets, predicted, average=None)
    expected = {
        "loss": float(binary_cross_entropy_with_logits(logits, targets.float())),
        "accuracy": 1 - metrics.hamming_loss(targets, predicted),
        "macro_f1": metrics.f1_score(targets, predicted, average="macro"),
        "worst_class_recall": min(recalls),
        "auroc": metrics.roc_auc_score(targets, probability, average="macro"),
        "average_precision": metrics.average_precision_score(targets, probability),
        "f1": metrics.f1_score(targets, predicted, average="micro"),
        "log_loss": metrics.log_loss(targets.flatten(), probability.flatten()),
        "brier_score": metrics.brier_score_loss(targets.flatten(), probability.flatten()),
    }
    assert values == pytest.approx(expected, rel=1e-5)


def test_ratios_are_exact() -> None:
    """342/360 is a little less than 0.95 in float32."""
    logits = torch.tensor([[1.0]] * 342 + [[-1.0]] * 18)
    values = multilabel_quality(logits, torch.ones(360, 1))
    assert values["accuracy"] == values["worst_class_recall"] == 0.95


def test_labels_that_say_nothing_are_left_out() -> None:
    """Label B never occurs and is never predicted; label C always occurs, so it ranks nothing."""
    logits = torch.tensor([[1.0, -1.0, 1.0], [-1.0, -1.0, -1.0]])
    values = multilabel_quality(logits, torch.tensor([[1, 0, 1], [0, 0, 1]]))
    assert values["auroc"] == values["average_precision"] == 1
    # A: 1. C occurs twice, is predicted once and found once: 2/3.
    assert values["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert values["worst_class_recall"] == 1 / 2


def test_without_any_label_recall_and_ranking_are_undefined() -> None:
    values = multilabel_quality(torch.full((2, 2), -1.0), torch.zeros(2, 2))
    assert values["accuracy"] == 1
    for name in ("f1", "macro_f1", "worst_class_recall", "auroc", "average_precision"):
        assert math.isnan(values[name])


def test_a_label_can_be_certain() -> None:
    logits = torch.tensor([[math.inf, -math.inf], [-math.inf, math.inf]])
    assert multilabel_quality(logits, torch.eye(2))["loss"] == 0
    assert multilabel_quality(logits, 1 - torch.eye(2))["loss"] == math.inf


def test_nan_predicts_nothing_and_is_wrong() -> None:
    logits = torch.tensor([[math.nan, 1.0], [1.0, -1.0], [-1.0, math.nan]])
    values = multilabel_quality(logits, torch.tensor([[1, 1], [1, 0], [0, 0]]))
    assert values["accuracy"] == 4 / 6
    # A occurs twice, is predicted and found once; B occurs, is predicted and found once.
    assert values["f1"] == pytest.approx(2 * 2 / (3 + 2))
    assert values["worst_class_recall"] == 1 / 2
    assert all(math.isnan(values[name]) for name in UNDEFINED_BY_ONE_NAN)


def test_only_nan_has_no_quality() -> None:
    values = multilabel_quality(torch.full((2, 2), math.nan), torch.eye(2))
    assert all(math.isnan(value) for value in values.values())


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        ((2, 3), [[0.0, 1.0]], r"both must be \(n, num_labels\)"),
        ((0, 2), [], r"both must be \(n, num_labels\)"),
        ((1, 2), [[0.0, 0.5]], "targets: the target of a label is 0.5, must be 0 or 1"),
        ((1, 2), [[0.0, math.nan]], "targets: the target of a label is nan, must be 0 or 1"),
    ],
)
def test_other_targets_are_refused(
    logits: tuple[int, int], targets: list[list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        multilabel_quality(torch.zeros(logits), torch.tensor(targets))
