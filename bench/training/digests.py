"""A hash that tells batches apart, whatever kinds of arrays they hold."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor


def digest(arrays: Iterable[Tensor | np.ndarray]) -> str:
    """A hash of all content, except Python objects in NumPy arrays: they have no bytes to compare.

    Args:
        arrays: Of any layout, type and device.
    """
    found = hashlib.sha256()
    for array in arrays:
        for part in _dense(array):
            found.update(part.tobytes())
    return found.hexdigest()


def _dense(array: Tensor | np.ndarray) -> list[np.ndarray]:
    """The content as plain arrays."""
    if isinstance(array, np.ndarray):
        return [] if array.dtype.hasobject else [array]
    tensor = array.detach().cpu()
    if tensor.is_nested:
        tensor = tensor.to_padded_tensor(0.0)
    elif tensor.layout != torch.strided:
        sparse = tensor.to_sparse_coo().coalesce()  # type: ignore[no-untyped-call]
        return [sparse.indices().numpy(), *_dense(sparse.values())]
    flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1)
    return [flat.view(torch.uint8).numpy()]  # NumPy has no bfloat16
