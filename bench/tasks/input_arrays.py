"""Turns the inputs of a model from tensors into one array, and back; see bench.core.arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.arrays import Inputs, named_arrays

Tensors = Tensor | dict[str, Tensor]


def joined_array(batches: Sequence[Tensor | Mapping[str, Tensor]]) -> Inputs:
    """Join batches of inputs into one array; floats become float32, other types stay.

    Args:
        batches: Tensors of shape (n, ...), or mappings with the same names of such tensors.

    Raises:
        ValueError: An example holds something other than tensors.
    """
    first = batches[0]
    if isinstance(first, Tensor):
        joined = torch.cat([_tensor(batch) for batch in batches])
        kept = joined.float() if joined.is_floating_point() else joined
        return np.ascontiguousarray(kept.numpy())
    if not isinstance(first, Mapping) or not first:
        raise ValueError(
            f"data: an input is a {type(first).__name__}, must be a tensor or a dict of tensors to "
            "be served"
        )
    mappings = [batch for batch in batches if isinstance(batch, Mapping)]
    parts = {name: joined_array([batch[name] for batch in mappings]) for name in first}
    fields = [(name, part.dtype, part.shape[1:]) for name, part in parts.items()]
    array = np.empty(len(next(iter(parts.values()))), dtype=fields)
    for name, part in parts.items():
        array[name] = part
    return array


def _tensor(batch: object) -> Tensor:
    if not isinstance(batch, Tensor):
        raise ValueError(f"data: an input is a {type(batch).__name__} in some batches only")
    return batch


def as_tensors(inputs: Inputs) -> Tensors:
    """Turn an array into what the network takes: a tensor, or tensors by name."""
    if inputs.dtype.names is None:
        return torch.from_numpy(inputs)
    return {name: torch.from_numpy(array) for name, array in named_arrays(inputs).items()}


def to_device(inputs: Tensors, device: torch.device | str) -> Tensors:
    """Move inputs to a device."""
    if isinstance(inputs, Tensor):
        return inputs.to(device)
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def example_and_shapes(inputs: Inputs) -> tuple[Tensors, Any]:
    """Make what torch.export needs: an example, and which dimension of its tensors may vary.

    The example has two inputs, because an export takes a batch size of one for a constant.
    """
    batch = torch.export.Dim("batch", min=1, max=2**20)
    example = as_tensors(np.repeat(inputs[:1], 2, axis=0))
    if isinstance(example, Tensor):
        return example, {0: batch}
    return example, {name: {0: batch} for name in example}
