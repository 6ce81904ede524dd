"""Known answers worked out by hand, and scikit-learn's on random predictions."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn import metrics

from bench.tasks.regression_quality import matching_outputs, regression_quality


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_known_answers(shape: tuple[int, ...]) -> None:
    outputs = torch.tensor([2.0, 3.0, 3.0, 8.0]).reshape(shape)
    values = regression_quality(outputs, torch.tensor([1.0, 3.0, 5.0, 7.0]))
    # The errors are 1, 0, -2, 1; the targets are 3, 1, 1, 3 away from their mean 4.
    assert values == {
        "mse": 6 / 4,
        "mae": 4 / 4,
        "rmse": math.sqrt(6 / 4),
        "r2": 1 - 6 / (9 + 1 + 1 + 9),
    }


@pytest.mark.parametrize("num_outputs", [1, 3])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-3, 0.0), (1.0, 1e4)])
def test_as_scikit_learn_has_it(num_outputs: int, scale: float, offset: float) -> None:
    """Small targets, and targets that are far from 0 beside their spread."""
    generator = torch.Generator().manual_seed(0)
    targets = scale * torch.randn(100, num_outputs, generator=generator) + offset
    outputs = targets + 0.5 * scale * torch.randn(100, num_outputs, generator=generator)
    expected = {
        "mse": metrics.mean_squared_error(targets.double(), outputs.double()),
        "mae": metrics.mean_absolute_error(targets.double(), outputs.double()),
        "rmse": math.sqrt(metrics.mean_squared_error(targets.double(), outputs.double())),
        "r2": metrics.r2_score(targets.double(), outputs.double()),
    }
    assert regression_quality(outputs, targets) == pytest.approx(expected, rel=1e-9)


def test_r2_leaves_out_an_output_whose_target_is_constant() -> None:
    targets = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    # The first output is the mean of its targets, which explains nothing.
    values = regression_quality(torch.tensor([[2.0, 4.0], [2.0, 4.0]]), targets)
    assert values["r2"] == 0
    assert values["mae"] == 1


@pytest.mark.parametrize("output", [5.0, 4.0])
def test_r2_of_a_constant_target_is_undefined(output: float) -> None:
    values = regression_quality(torch.full((3,), output), torch.full((3,), 5.0))
    assert math.isnan(values["r2"])
    assert values["mae"] == 5.0 - output


def test_nan_makes_all_values_nan() -> None:
    values = regression_quality(torch.tensor([math.nan, 1.0]), torch.tensor([0.0, 1.0]))
    assert all(math.isnan(value) for value in values.values())


def test_whole_numbers_are_targets_too() -> None:
    assert regression_quality(torch.tensor([1.5, 2.0]), torch.tensor([1, 2]))["mae"] == 0.25


def test_a_column_of_targets_matches_a_row_of_outputs() -> None:
    assert matching_outputs(torch.zeros(4), torch.zeros(4, 1)).shape == (4, 1)


@pytest.mark.parametrize(
    ("outputs", "targets"), [((4, 2), (4,)), ((3,), (4,)), ((0,), (0,)), ((4, 2, 1), (4, 2, 1))]
)
def test_shapes_that_do_not_fit_are_refused(
    outputs: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"both must be \(n,\) or \(n, num_outputs\)"):
        regression_quality(torch.zeros(outputs), torch.zeros(targets))
