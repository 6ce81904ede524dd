"""The loss is that of standardised targets; outputs and quality are in the unit of the data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.tasks.regression import Regression
from bench.tasks.rescaled import Rescaled

TARGETS = torch.tensor([[100.0], [140.0]])


def task(**scale: Tensor) -> Regression:
    data: Any = SimpleNamespace(input_shape=(3,), num_outputs=1, num_train_samples=2, **scale)
    return Regression(data)


SCALED = {"target_mean": torch.tensor([120.0]), "target_std": torch.tensor([20.0])}


def test_the_outputs_of_a_network_are_scaled_to_the_unit_of_the_data() -> None:
    # -1 and 4 standard deviations of 20 from 120.
    network = nn.Identity()
    model = task(**SCALED).whole_model(network)
    assert model(torch.tensor([[-1.0], [4.0]])).tolist() == [[100.0], [200.0]]
    # What is saved has the scale, so a loaded model gives the same.
    loaded = Rescaled(network, 1)
    loaded.load_state_dict(model.state_dict())
    assert loaded(torch.tensor([[4.0]])).item() == 200


@pytest.mark.parametrize("shape", [(2, 1), (2,)])
def test_the_loss_is_that_of_standardised_targets(shape: tuple[int, ...]) -> None:
    # The outputs miss by 0 and by 60, which are 3 standard deviations.
    outputs = torch.tensor([100.0, 200.0]).reshape(shape)
    assert task(**SCALED).loss(outputs, TARGETS).item() == pytest.approx((0**2 + 3**2) / 2)


def test_qualities_are_in_the_unit_of_the_data() -> None:
    evaluation = task(**SCALED).evaluation("val")
    evaluation.update(torch.tensor([[100.0], [200.0]]), TARGETS)
    values = evaluation.compute()
    assert values["mae"] == 30
    assert values["rmse"] == pytest.approx((60**2 / 2) ** 0.5)


def test_data_without_a_scale_is_taken_as_it_is() -> None:
    assert task().loss(TARGETS + 2, TARGETS).item() == 4
    assert torch.equal(task().whole_model(nn.Identity())(TARGETS), TARGETS)
