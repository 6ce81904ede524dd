"""The tensors of an inference request, of any type, and of inputs of several tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from bench.serving.http.inputs import Refused, read_inputs, tensor_descriptions, tensors_to_json
from bench.tasks.input_arrays import joined_array

TOKENS = np.array([[5, 6, 7], [1, 2, 3]])
SEVERAL = joined_array([{"ids": torch.from_numpy(TOKENS), "mask": torch.tensor([[1.5], [2.5]])}])


@pytest.mark.parametrize("inputs", [TOKENS, SEVERAL], ids=["tokens", "several"])
def test_what_the_client_writes_is_what_the_server_reads(inputs: Any) -> None:
    found = read_inputs({"inputs": tensors_to_json(inputs[1])}, inputs[0])
    assert (found.dtype, found.shape) == (inputs.dtype, inputs[1:].shape)
    np.testing.assert_array_equal(found, inputs[1:])


def test_tensors_are_described_by_name_type_and_shape() -> None:
    assert tensor_descriptions(SEVERAL[0]) == [
        {"name": "ids", "datatype": "INT64", "shape": [-1, 3]},
        {"name": "mask", "datatype": "FP32", "shape": [-1, 1]},
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"datatype": "FP32"}, "datatype of inputs must be INT64"),
        ({"data": [1.5, 2, 3]}, "must be a list of whole numbers"),
        ({"data": [1, 2]}, "data has 2 values, shape 3"),
        ({"shape": [1, 4]}, r"shape must be \[n, 3\]"),
    ],
)
def test_tokens_of_another_form_are_refused(change: dict[str, Any], reason: str) -> None:
    (tensor,) = tensors_to_json(TOKENS[0])
    with pytest.raises(Refused, match=reason):
        read_inputs({"inputs": [{**tensor, **change}]}, TOKENS[0])


def test_a_tensor_twice_and_tensors_of_unequal_length_are_refused() -> None:
    ids, mask = tensors_to_json(SEVERAL[0])
    with pytest.raises(Refused, match="name must be each of ids, mask once"):
        read_inputs({"inputs": [ids, ids]}, SEVERAL[0])
    longer = {**mask, "shape": [2, 1], "data": [1, 2]}
    with pytest.raises(Refused, match="the same number of inputs"):
        read_inputs({"inputs": [ids, longer]}, SEVERAL[0])
