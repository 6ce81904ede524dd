"""A network learns standardised targets, and its quality is in the unit of the data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.tasks.regression import Regression

TARGETS = torch.tensor([[100.0], [140.0]])


def task(**scale: Tensor) -> Regression:
    data: Any = SimpleNamespace(input_shape=(3,), num_outputs=1, num_train_samples=2, **scale)
    return Regression(data)


SCALED = {"target_mean": torch.tensor([120.0]), "target_std": torch.tensor([20.0])}


@pytest.mark.parametrize("shape", [(2, 1), (2,)])
def test_the_loss_is_that_of_standardised_targets(shape: tuple[int, ...]) -> None:
    # The targets are -1 and 1 standard deviations from the mean; the outputs miss by 0 and 3.
    outputs = torch.tensor([-1.0, 4.0]).reshape(shape)
    assert task(**SCALED).loss(outputs, TARGETS).item() == (0**2 + 3**2) / 2


def test_qualities_are_in_the_unit_of_the_data() -> None:
    evaluation = task(**SCALED).evaluation("val")
    evaluation.update(torch.tensor([[-1.0], [4.0]]), TARGETS)
    # 3 standard deviations of 20 are 60.
    values = evaluation.compute()
    assert values["mae"] == 30
    assert values["rmse"] == pytest.approx((60**2 / 2) ** 0.5)


def test_data_without_a_scale_is_taken_as_it_is() -> None:
    assert task().loss(TARGETS + 2, TARGETS).item() == 4
    predicted, targets = task().predictions(TARGETS, TARGETS)
    assert torch.equal(predicted, targets)
