"""Tensors become one array for serving, and come back as the model takes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.core.arrays import named_arrays
from bench.tasks.input_arrays import as_tensors, example_and_shapes, joined_array


def test_floats_become_float32_and_tokens_stay_integers() -> None:
    rows = joined_array([torch.ones(2, 3, dtype=torch.float64), torch.zeros(1, 3)])
    assert rows.dtype == np.float32
    assert (rows.shape, rows[:, 0].tolist()) == ((3, 3), [1, 1, 0])
    assert joined_array([torch.arange(4).reshape(2, 2)]).dtype == np.int64


def test_a_mapping_of_tensors_is_indexed_and_copied_as_one_array() -> None:
    batches = [
        {"ids": torch.tensor([[1, 2]]), "mask": torch.tensor([0.5])},
        {"ids": torch.tensor([[3, 4]]), "mask": torch.tensor([1.5])},
    ]
    inputs = joined_array(batches)
    assert inputs.shape == (2,)
    assert {name: array.tolist() for name, array in named_arrays(inputs[[1]]).items()} == {
        "ids": [[3, 4]],
        "mask": [1.5],
    }
    back = as_tensors(inputs.copy())
    assert isinstance(back, dict)
    assert (back["ids"].dtype, back["mask"].dtype) == (torch.int64, torch.float32)
    example, shapes = example_and_shapes(inputs)
    assert isinstance(example, dict)
    assert (example["ids"].shape, list(shapes)) == ((2, 2), ["ids", "mask"])


@pytest.mark.parametrize("batch", [[torch.ones(1)], {"ids": [1, 2]}, {}])
def test_inputs_that_are_no_tensors_cannot_be_served(batch: object) -> None:
    with pytest.raises(ValueError, match="must be a tensor or a dict of tensors"):
        joined_array([batch])  # type: ignore[list-item]
