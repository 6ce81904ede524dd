"""Tensors of the Open Inference Protocol in JSON: those of requests, and outputs of answers.

JSON has no NaN and no infinity, but Python's reader and writer accept them. Here they are refused
in requests and never sent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from bench.core.arrays import Inputs

# Name of the only tensor of an input that is not a mapping of tensors.
INPUT_NAME = "inputs"

_Floats = NDArray[np.float32]
# Types of the protocol, by those of NumPy.
_TYPES = {
    **{"float32": "FP32", "float64": "FP64", "float16": "FP16", "bool": "BOOL"},
    **{f"int{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
}
_NUMPY_TYPES = {name: np.dtype(kind) for kind, name in _TYPES.items()}

# A valid JSON number that becomes minus infinity in every 32-bit float, which is how a model rules
# a class out.
_MINUS_INFINITY = -1e39


class Refused(Exception):  # noqa: N818 -- an answer to a client, not a failure of the server
    """A request that gets an error as its answer: the HTTP status and one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Refused: It has none.
    """
    try:
        content = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(content, dict):
        raise Refused(400, "the body is not a JSON object")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise Refused(400, f"the body is not JSON, which has no {name}")


def tensor_descriptions(example: Inputs, *, name: str = INPUT_NAME) -> list[dict[str, Any]]:
    """Describe the tensors of an input: name, type and shape, with -1 for the number of inputs.

    Args:
        example: One input, without the dimension of a batch.
        name: The name of an input that is a single tensor.
    """
    return [
        {"name": each, "datatype": _TYPES[array.dtype.name], "shape": [-1, *array.shape]}
        for each, array in _tensors(example, name).items()
    ]


def _tensors(inputs: Inputs, name: str) -> dict[str, Inputs]:
    if inputs.dtype.names is None:
        return {name: np.asarray(inputs)}
    return {each: np.asarray(inputs[each]) for each in inputs.dtype.names}


def tensors_to_json(inputs: Inputs, *, name: str = INPUT_NAME) -> list[dict[str, Any]]:
    """Write the tensors of one input as a batch of one.

    Args:
        inputs: One input, without the dimension of a batch.
        name: The name of an input that is a single tensor.
    """
    return [
        {
            **described,
            "shape": [1, *described["shape"][1:]],
            "data": array.reshape(-1).tolist(),
        }
        for described, array in zip(
            tensor_descriptions(inputs, name=name), _tensors(inputs, name).values(), strict=True
        )
    ]


def read_inputs(content: dict[str, Any], example: Inputs) -> Inputs:
    """The inputs of an inference request, shape (n, ...), n >= 1.

    Args:
        content: The request.
        example: One input, which decides the names, types and shapes.

    Raises:
        Refused: It has another form, or a number that the type does not hold.
    """
    tensors = content.get("inputs")
    expected = {each["name"]: each for each in tensor_descriptions(example)}
    names = ", ".join(expected)
    if not isinstance(tensors, list) or len(tensors) != len(expected):
        raise Refused(400, f"inputs: must be a list of tensors: {names}")
    arrays = {}
    for tensor in tensors:
        described = expected.pop(tensor.get("name"), None) if isinstance(tensor, dict) else None
        if described is None:
            raise Refused(400, f"inputs: name must be each of {names} once")
        arrays[described["name"]] = _read_tensor(tensor, described)
    return _joined(arrays, example)


def _joined(arrays: dict[str, Inputs], example: Inputs) -> Inputs:
    if example.dtype.names is None:
        return arrays[INPUT_NAME]
    sizes = {len(array) for array in arrays.values()}
    if len(sizes) > 1:
        raise Refused(400, "inputs: all tensors must have the same number of inputs")
    joined = np.empty(sizes.pop(), dtype=example.dtype)
    for name, array in arrays.items():
        joined[name] = array
    return joined


def _read_tensor(tensor: dict[str, Any], described: dict[str, Any]) -> Inputs:
    name, kind = described["name"], described["datatype"]
    if tensor.get("datatype") != kind:
        raise Refused(400, f"inputs: datatype of {name} must be {kind}")
    sizes, shape = tensor.get("shape"), described["shape"]
    if (
        not isinstance(sizes, list)
        or not all(type(size) is int for size in sizes)  # true would count as 1
        or len(sizes) != len(shape)
        or sizes[0] < 1
        or sizes[1:] != shape[1:]
    ):
        wanted = ", ".join(map(str, ("n", *shape[1:])))
        raise Refused(400, f"inputs: shape must be [{wanted}] with n of at least 1")
    values = _read_numbers(tensor.get("data"), _NUMPY_TYPES[kind])
    if values.size != math.prod(sizes):
        raise Refused(400, f"inputs: data has {values.size} values, shape {math.prod(sizes)}")
    return values.reshape(sizes)


def _read_numbers(data: Any, dtype: np.dtype[Any]) -> Inputs:
    """A flat or nested list of numbers in a type; the protocol allows both."""
    try:
        values = np.array(data if isinstance(data, list) else None)
    except ValueError:  # lists of unequal length
        raise Refused(400, "inputs: data must be a list of numbers") from None
    # A conversion would accept true and "1", and cut off the fraction of a number.
    kinds = {"f": "iuf", "b": "b"}.get(dtype.kind, "iu")
    if values.dtype.kind not in kinds:
        words = {"f": "numbers", "b": "true and false"}.get(dtype.kind, "whole numbers")
        raise Refused(400, f"inputs: data must be a list of {words}")
    with np.errstate(over="ignore"):
        converted = values.astype(dtype)
    if not np.isfinite(converted).all() or (dtype.kind in "iu" and (converted != values).any()):
        raise Refused(400, f"inputs: data has a number that is not a finite {dtype.name}")
    return converted


def json_numbers(outputs: _Floats) -> Sequence[float | None]:
    """Outputs as one flat list for JSON: null for NaN and infinity, -1e39 for minus infinity."""
    flat = outputs.reshape(-1)
    if np.isfinite(flat).all():
        numbers: list[float] = flat.tolist()
        return numbers
    return [
        value if math.isfinite(value) else _MINUS_INFINITY if value == -math.inf else None
        for value in flat.tolist()
    ]
