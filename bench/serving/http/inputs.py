"""Reads JSON requests with tensors of the Open Inference Protocol, and writes logits as JSON.

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

INPUT_NAME = "images"

_Images = NDArray[np.float32]
_Floats = NDArray[np.float32]

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


def read_tensor(content: dict[str, Any], shape: tuple[int, int, int]) -> _Images:
    """The only input of an inference request, float32 of shape (n, c, h, w), n >= 1.

    Raises:
        Refused: It has another form, or a number that is not a finite 32-bit float.
    """
    inputs = content.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise Refused(400, f"inputs: must be a list of one tensor, {INPUT_NAME}")
    tensor = inputs[0]
    if tensor.get("name") != INPUT_NAME or tensor.get("datatype") != "FP32":
        raise Refused(400, f"inputs: name must be {INPUT_NAME} and datatype FP32")
    sizes = tensor.get("shape")
    if (
        not isinstance(sizes, list)
        or not all(type(size) is int for size in sizes)  # true would count as 1
        or len(sizes) != 4
        or sizes[0] < 1
        or sizes[1:] != list(shape)
    ):
        expected = ", ".join(map(str, ("n", *shape)))
        raise Refused(400, f"inputs: shape must be [{expected}] with n of at least 1")
    values = _read_numbers(tensor.get("data"))
    if values.size != math.prod(sizes):
        raise Refused(400, f"inputs: data has {values.size} values, shape {math.prod(sizes)}")
    return values.reshape(sizes)


def _read_numbers(data: Any) -> _Images:
    """A flat or nested list of numbers as float32; the protocol allows both."""
    try:
        values = np.array(data if isinstance(data, list) else None)
    except ValueError:  # lists of unequal length
        raise Refused(400, "inputs: data must be a list of numbers") from None
    if values.dtype.kind not in "iuf":
        raise Refused(400, "inputs: data must be a list of numbers")
    with np.errstate(over="ignore"):
        floats = values.astype(np.float32)
    if not np.isfinite(floats).all():
        raise Refused(400, "inputs: data has a number that is not a finite 32-bit float")
    return floats


def json_numbers(logits: _Floats) -> Sequence[float | None]:
    """Logits as one flat list for JSON: null for NaN and infinity, -1e39 for minus infinity."""
    flat = logits.reshape(-1)
    if np.isfinite(flat).all():
        numbers: list[float] = flat.tolist()
        return numbers
    return [
        value if math.isfinite(value) else _MINUS_INFINITY if value == -math.inf else None
        for value in flat.tolist()
    ]
