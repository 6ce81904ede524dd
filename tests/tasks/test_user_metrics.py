"""Metrics of one's own: what they compute, their direction, and what is refused."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
import torchmetrics
from torchmetrics.classification import (
    BinaryCohenKappa,
    BinaryConfusionMatrix,
    BinarySpecificity,
    BinaryStatScores,
)
from torchmetrics.regression import MeanAbsoluteError, MeanAbsolutePercentageError
from torchmetrics.wrappers import MinMaxMetric

from bench.tasks.user_metrics import UserMetrics

OWN = ("loss", "accuracy")
PROBABILITIES, LABELS = torch.tensor([0.9, 0.8, 0.4, 0.1]), torch.tensor([1, 0, 1, 0])


class Failing(torchmetrics.Metric):
    """Fails in the method that it is told to fail in."""

    def __init__(self, method: str, error: Exception) -> None:
        super().__init__()
        self.method, self.error = method, error

    def update(self, predictions: torch.Tensor, targets: torch.Tensor) -> None:
        if self.method == "update":
            raise self.error

    def compute(self) -> torch.Tensor:
        raise self.error


def computed(**metrics: Any) -> dict[str, float]:
    mine = UserMetrics(metrics, OWN)
    mine.reset()
    mine.update(PROBABILITIES, LABELS)
    return mine.compute()


def test_known_answer_over_batches_and_evaluations() -> None:
    """Two of four are right, as by chance: kappa is 0. Then both of two are: 1."""
    mine = UserMetrics({"kappa": BinaryCohenKappa()}, OWN)
    mine.reset()
    with torch.inference_mode():  # Lightning's evaluations are in it
        mine.update(PROBABILITIES[:2], LABELS[:2])
        mine.update(PROBABILITIES[2:], LABELS[2:])
    assert mine.compute() == {"kappa": 0.0}
    mine.reset()
    mine.update(PROBABILITIES[::3], LABELS[::3])
    assert mine.compute() == {"kappa": 1.0}


def test_directions_are_those_of_torchmetrics() -> None:
    metrics = {
        "kappa": BinaryCohenKappa(),
        "mape": MeanAbsolutePercentageError(),
        "failing": Failing("update", ValueError()),
    }
    directions = UserMetrics(metrics, OWN).directions
    assert directions == {"kappa": "max", "mape": "min", "failing": None}


def test_a_sum_of_metrics_is_one() -> None:
    twice = BinaryCohenKappa() + 1
    assert computed(twice=twice) == {"twice": 1.0}


def test_an_undefined_value_is_nan() -> None:
    """All samples are of one class and are predicted so: kappa is 0/0."""
    mine = UserMetrics({"kappa": BinaryCohenKappa()}, OWN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine.update(torch.ones(2), torch.ones(2).long())
        assert math.isnan(mine.compute()["kappa"])


def test_a_prediction_that_is_nan_leaves_no_value() -> None:
    """torchmetrics would take it for class 0, and call all samples of class 0 right."""
    mine = UserMetrics({"specificity": BinarySpecificity()}, OWN)
    mine.update(torch.tensor([0.1, math.nan]), torch.tensor([0, 0]))
    mine.update(torch.tensor([0.1]), torch.tensor([0]))
    assert math.isnan(mine.compute()["specificity"])
    mine.reset()
    mine.update(torch.tensor([0.1]), torch.tensor([0]))
    assert mine.compute() == {"specificity": 1.0}


def test_ranks_are_not_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each rank sees the whole split, and the others may not compute at all."""
    monkeypatch.setattr("torch.distributed.is_available", lambda: True)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    assert computed(kappa=BinaryCohenKappa()) == {"kappa": 0.0}


@pytest.mark.parametrize("name", ["at", "num_samples", "loss", "accuracy"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"metrics\.{name}: this name is taken"):
        UserMetrics({name: BinaryCohenKappa()}, OWN)


def test_a_name_of_another_task_keeps_its_direction() -> None:
    assert UserMetrics({"mae": MeanAbsoluteError()}, OWN).directions == {"mae": "min"}
    message = r"metrics\.r2: MeanAbsoluteError is better when it is smaller, and r2 of other tasks"
    with pytest.raises(ValueError, match=message):
        UserMetrics({"r2": MeanAbsoluteError()}, OWN)


@pytest.mark.parametrize("name", ["a.b", "my metric", "1st", ""])
def test_a_name_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="has letters, digits and underscores"):
        UserMetrics({name: BinaryCohenKappa()}, OWN)


@pytest.mark.parametrize(
    ("gave", "kind"),
    [
        (3, "an object of type int"),
        (torch.nn.Linear(1, 1), "an object of type Linear"),
        (torchmetrics.MetricCollection([BinaryCohenKappa()]), "an object of type MetricCollection"),
        (BinaryCohenKappa, "the class BinaryCohenKappa"),
    ],
)
def test_what_is_no_metric_is_refused(gave: Any, kind: str) -> None:
    message = f"metrics.mine: _target_ gave {kind}, must give a torchmetrics.Metric"
    with pytest.raises(ValueError, match=f"^{message}$"):
        UserMetrics({"mine": gave}, OWN)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        (BinaryConfusionMatrix(), r"a tensor of shape \(2, 2\)"),
        (BinaryStatScores(), r"a tensor of shape \(5,\)"),
        (MinMaxMetric(BinaryCohenKappa()), "an object of type dict"),
    ],
)
def test_a_value_that_is_not_one_number_is_refused(metric: torchmetrics.Metric, value: str) -> None:
    message = rf"metrics\.mine: \w+ computes {value}, must compute one number"
    with pytest.raises(ValueError, match=message):
        computed(mine=metric)


@pytest.mark.parametrize("method", ["update", "compute"])
def test_a_failure_is_one_line_with_the_name_and_the_reason(method: str) -> None:
    with pytest.raises(ValueError, match=r"^metrics\.mine: two lines of text$"):
        computed(mine=Failing(method, RuntimeError("two lines\n  of text")))
    with pytest.raises(ValueError, match=r"^metrics\.mine: KeyError$"):
        computed(mine=Failing(method, KeyError()))


def test_predictions_that_a_metric_does_not_take_are_explained() -> None:
    mine = UserMetrics({"mine": BinaryCohenKappa()}, OWN)
    with pytest.raises(ValueError, match=r"^metrics\.mine: .*same shape"):
        mine.update(torch.rand(4, 3), LABELS)


def test_out_of_memory_stays_out_of_memory() -> None:
    with pytest.raises(MemoryError):
        computed(mine=Failing("update", MemoryError()))
