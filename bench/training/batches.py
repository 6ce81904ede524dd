"""What can be known about a batch and a pass, whatever a user's loader makes of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.data import sized_len
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, IterableDataset

_log = logging.getLogger(__name__)


class SampleCounter:
    """Counts the samples that each batch adds to a training."""

    def __init__(self) -> None:
        """Start before the first batch."""
        self._is_shared: bool | None = None  # unknown before the ranks compare their first batches
        self._has_warned = False

    def __call__(self, trainer: pl.Trainer, batch: Any, batch_idx: int) -> int | None:
        """Count the samples of this rank's batch.

        Args:
            trainer: Its loader may know how many samples it put into the batch.
            batch: The batch, unchanged.
            batch_idx: Index of the batch in the pass.

        Returns:
            None if the size cannot be known, or if all ranks train on copies of one batch.
        """
        if self._is_shared is None:
            self._is_shared = trainer.world_size > 1 and have_same_batch(batch)
            if self._is_shared:
                _log.warning("all ranks train on the same samples: their number is not recorded")
        if self._is_shared:
            return None
        num, reason = None, ""
        try:
            num = num_samples(batch, trainer.train_dataloader, batch_idx)
        except Exception as error:  # a user's batch may be any object; the training accepted it
            reason = f" ({type(error).__name__}: {error})"
        if num is None and not self._has_warned:
            _log.warning(
                "the size of a batch is not clear%s: the number of samples is not recorded", reason
            )
            self._has_warned = True
        return num


def num_samples(batch: Any, loader: Any = None, batch_idx: int = 0) -> int | None:
    """Count the samples of a batch: the first dimension of all its tensors and arrays.

    That alone could be the length of a sequence, or the channels of images in a list. So it must
    agree with the number that the loader put into the batch. If that is unknown, it must agree with
    the loader's batch size, or the batch must contain labels.

    Args:
        batch: The batch, unchanged.
        loader: The training loader; several loaders are a list or the like.
        batch_idx: Index of the batch in the pass.

    Returns:
        None if the sizes do not agree or there are none: a guess would be a wrong number.
    """
    sizes = {len(leaf) for leaf in _arrays(batch) if leaf.ndim}
    if len(sizes) != 1:
        return None
    size = sizes.pop()
    drawn = _num_drawn(loader, batch_idx)
    if drawn is not None:
        return size if size == drawn else None
    is_clear = size == getattr(loader, "batch_size", None) or _has_labels(batch)
    return size if is_clear else None


def batches_of_pass(loader: Any) -> int | None:
    """Count the batches of one pass over the training split.

    Returns:
        None if that is unknown: for several loaders, and for streams, whose workers may give more
        or fewer batches than their length claims.
    """
    is_stream = isinstance(getattr(loader, "dataset", None), IterableDataset)
    if is_stream or isinstance(loader, list | tuple | Mapping):
        return None
    return sized_len(loader)


def _num_drawn(loader: Any, batch_idx: int) -> int | None:
    """The number of samples that a DataLoader drew for a batch; None if it does not know."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    in_pass = sized_len(loader.sampler)
    if loader.batch_size is None or in_pass is None:
        return None
    return min(loader.batch_size, in_pass - batch_idx * loader.batch_size)


def _has_labels(batch: Any) -> bool:
    """Whether a batch is a tuple, list or mapping of tensors of one and of more dimensions.

    All tensors must be direct members: what lies deeper may be lists of samples.
    """
    members = batch.values() if isinstance(batch, Mapping) else batch
    if not isinstance(batch, Mapping | list | tuple):
        return False
    direct = [member for member in members if isinstance(member, Tensor | np.ndarray)]
    dimensions = {array.ndim for array in direct if array.ndim}
    return len(direct) == len(_arrays(batch)) and 1 in dimensions and len(dimensions) > 1


def have_same_batch(batch: Any) -> bool:
    """Whether two ranks have the same batch; call it on every rank, for its first batch.

    The same batch on several ranks is the same samples, trained on again. A batch that cannot be
    compared counts as different: its size will be unknown, too.
    """
    known = [each for each in gather(_try_digest(batch)) if each is not None]
    return len(set(known)) < len(known)


def gather(value: Any) -> list[Any]:
    """Collect a value of each rank, in the order of the ranks; call it on every rank."""
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values


def _try_digest(batch: Any) -> Any:
    try:
        return digest(_arrays(batch))
    except Exception as error:  # a user's batch may be any object, and the other ranks wait
        _log.warning("a batch cannot be compared with those of other ranks (%s)", error)
        return None


def _arrays(batch: Any) -> list[Tensor | np.ndarray]:
    return [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor | np.ndarray)]


def digest(arrays: Iterable[Tensor | np.ndarray]) -> str:
    """Hash the content of arrays, except for Python objects in NumPy arrays, which have no bytes.

    Args:
        arrays: Arrays of any layout, type and device.
    """
    found = hashlib.sha256()
    for array in arrays:
        for part in _dense(array):
            found.update(part.tobytes())
    return found.hexdigest()


def _dense(array: Tensor | np.ndarray) -> list[np.ndarray]:
    """Convert the content to plain NumPy arrays."""
    if isinstance(array, np.ndarray):
        return [] if array.dtype.hasobject else [array]
    tensor = array.detach().cpu()
    if tensor.is_nested:
        tensor = tensor.to_padded_tensor(0.0)
    elif tensor.layout != torch.strided:
        sparse = tensor.to_sparse_coo().coalesce()  # type: ignore[no-untyped-call]
        return [sparse.indices().numpy(), *_dense(sparse.values())]
    flat = tensor.resolve_conj().resolve_neg().contiguous().reshape(-1)
    return [flat.view(torch.uint8).numpy()]  # as bytes, because NumPy has no bfloat16
