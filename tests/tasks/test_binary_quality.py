"""Known answers worked out by hand, and scikit-learn's on random predictions."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn import metrics

from bench.tasks.binary_quality import binary_quality
from bench.tasks.quality import quality

OF_CLASS_1 = ("auroc", "average_precision", "f1", "log_loss", "brier_score")


def logits_of(probabilities: list[float]) -> torch.Tensor:
    """Logits of two classes from the probabilities of class 1."""
    ones = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([1 - ones, ones], dim=1).log()


def test_known_answers() -> None:
    logits, labels = logits_of([0.9, 0.8, 0.4, 0.1]), torch.tensor([1, 0, 1, 0])
    values = binary_quality(logits, labels)
    # Of the pairs of a positive and a negative, only 0.4 against 0.8 is in the wrong order.
    assert values["auroc"] == 3 / 4
    # Recall rises by 1/2 at 0.9, with precision 1, and by 1/2 at 0.4, with precision 2/3.
    assert values["average_precision"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    # Of class 1, two occur, two are predicted, one is right.
    assert values["f1"] == 2 * 1 / (2 + 2)
    nats = [-math.log(p) for p in (0.9, 0.2, 0.4, 0.9)]
    assert values["log_loss"] == values["loss"] == pytest.approx(sum(nats) / 4)
    assert values["brier_score"] == pytest.approx((0.1**2 + 0.8**2 + 0.6**2 + 0.1**2) / 4)
    assert {name: values[name] for name in quality(logits, labels)} == quality(logits, labels)


def test_as_scikit_learn_has_it() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (300,), generator=generator)
    # Rounded, so that some scores are tied.
    logits = (torch.randn(300, 2, generator=generator) + torch.eye(2)[labels]).round(decimals=1)
    values = binary_quality(logits, labels)
    probability = logits.double().softmax(dim=1)[:, 1].round(decimals=12)
    expected = {
        "auroc": metrics.roc_auc_score(labels, probability),
        "average_precision": metrics.average_precision_score(labels, probability),
        "f1": metrics.f1_score(labels, logits.argmax(dim=1)),
        "log_loss": metrics.log_loss(labels, probability),
        "brier_score": metrics.brier_score_loss(labels, probability),
    }
    assert {name: values[name] for name in OF_CLASS_1} == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("scale", [1.0, 200.0])
def test_the_order_counts_however_large_the_logits_are(scale: float) -> None:
    """Log-odds 0.5 and 0.7 are no probabilities, and those of 100 and 140 are both 1 if rounded."""
    logits = scale * torch.tensor([[0.0, 0.5], [0.0, 0.7]])
    assert binary_quality(logits, torch.tensor([0, 1]))["auroc"] == 1
    assert binary_quality(logits, torch.tensor([1, 0]))["auroc"] == 0


def test_scores_are_ranked_in_double_precision() -> None:
    """The log-odds 1e-9 and 0 are one number beside the logit 1 in float32."""
    logits = torch.tensor([[1.0, 1.0 + 1e-9], [1.0, 1.0]], dtype=torch.float64)
    assert binary_quality(logits, torch.tensor([1, 0]))["auroc"] == 1


def test_a_tie_counts_half() -> None:
    values = binary_quality(torch.zeros(4, 2), torch.tensor([0, 1, 1, 1]))
    assert values["auroc"] == 1 / 2
    assert values["average_precision"] == 3 / 4  # the one threshold has all samples


@pytest.mark.parametrize("label", [0, 1])
def test_ranking_is_undefined_if_one_class_occurs(label: int) -> None:
    values = binary_quality(logits_of([0.9, 0.2]), torch.full((2,), label))
    assert math.isnan(values["auroc"])
    assert math.isnan(values["average_precision"])
    assert values["f1"] == (2 * 1 / (2 + 1) if label else 0)
    assert values["brier_score"] == pytest.approx((0.01 + 0.64) / 2 if label else (0.81 + 0.04) / 2)


def test_f1_is_undefined_without_class_1() -> None:
    assert math.isnan(binary_quality(logits_of([0.1, 0.2]), torch.tensor([0, 0]))["f1"])


def test_a_class_that_is_ruled_out_is_ranked_last() -> None:
    logits = torch.tensor([[0.0, -math.inf], [0.0, -900.0], [-math.inf, 0.0]])
    values = binary_quality(logits, torch.tensor([0, 1, 1]))
    assert values["auroc"] == values["average_precision"] == 1


@pytest.mark.parametrize("row", [[math.nan, 0.0], [0.0, math.inf], [-math.inf, -math.inf]])
def test_a_sample_without_a_distribution_is_wrong(row: list[float]) -> None:
    values = binary_quality(torch.tensor([[0.0, 1.0], row, [1.0, 0.0]]), torch.tensor([1, 1, 0]))
    # Two of class 1 occur, one is predicted and right.
    assert values["f1"] == 2 * 1 / (2 + 1)
    assert values["accuracy"] == 2 / 3
    assert all(math.isnan(values[name]) for name in OF_CLASS_1 if name != "f1")


def test_logits_that_are_no_distribution_have_no_quality() -> None:
    values = binary_quality(torch.full((2, 2), math.nan), torch.tensor([1, 0]))
    assert all(math.isnan(value) for value in values.values())


def test_three_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(n, 2\)"):
        binary_quality(torch.zeros(2, 3), torch.tensor([0, 1]))
