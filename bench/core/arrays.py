"""Types of NumPy arrays, and the arrays that hold the inputs of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
# Inputs of a model, one for each entry of the first dimension. If an input is a mapping of tensors,
# it is an entry of a structured array, so that all code can index, copy and store inputs alike.
Inputs = npt.NDArray[Any]


def named_arrays(inputs: Inputs) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a structured array by name; empty for one that is not structured."""
    # Copies: a view has the strides of the whole structure, which torch does not take.
    return {name: inputs[name].copy() for name in inputs.dtype.names or ()}
