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
        """Nothing is known of the ranks before the first batch."""
        self._is_shared: bool | None = None
        self._has_warned = False

    def __call__(self, trainer: pl.Trainer, batch: Any, batch_idx: int) -> int | None:
        """Samples of this rank's batch.

        Args:
            trainer: Its loader may know how many samples it put into the batch.
            batch: The batch, unchanged.
            batch_idx: Place of the batch in the pass.

        Returns:
            None where the size cannot be known, or where all ranks train on copies of one batch.
        """
        if self._is_shared is None:
            self._is_shared = trainer.world_size > 1 and have_same_batch(batch)
            if self._is_shared:
                _log.warning("all ranks train on the same samples: their number is not recorded")
        if self._is_shared:
            return None
        num, why = None, ""
        try:
            num = num_samples(batch, trainer.train_dataloader, batch_idx)
        except Exception as error:  # a batch is its user's object, and the training took it
            why = f" ({type(error).__name__}: {error})"
        if num is None and not self._has_warned:
            _log.warning(
                "the size of a batch is not clear%s: the number of samples is not recorded", why
            )
            self._has_warned = True
        return num


def num_samples(batch: Any, loader: Any = None, batch_idx: int = 0) -> int | None:
    """Samples of a batch: the first dimension of all tensors and arrays in it.

    That alone may be the length of a sequence or the channels of images in a list. So it has to
    agree with the number that the loader put into the batch; where that is not known, with the
    loader's batch size or with labels.

    Args:
        batch: The batch, unchanged.
        loader: The training loader; several are a list or the like.
        batch_idx: Place of the batch in the pass.

    Returns:
        None where these do not agree, or there are none: a guess would be a wrong number.
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
    """Batches in one pass over the training split.

    Returns:
        None where that is not known: for several loaders, and for streams, whose workers may give
        more or less than the length that they claim.
    """
    is_stream = isinstance(getattr(loader, "dataset", None), IterableDataset)
    if is_stream or isinstance(loader, list | tuple | Mapping):
        return None
    return sized_len(loader)


def _num_drawn(loader: Any, batch_idx: int) -> int | None:
    """Samples that a DataLoader drew for a batch; None where it does not know."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    in_pass = sized_len(loader.sampler)
    if loader.batch_size is None or in_pass is None:
        return None
    return min(loader.batch_size, in_pass - batch_idx * loader.batch_size)


def _has_labels(batch: Any) -> bool:
    """Whether the batch is a tuple, list or mapping of tensors, of one dimension and of more.

    What lies deeper may be lists of samples.
    """
    members = batch.values() if isinstance(batch, Mapping) else batch
    if not isinstance(batch, Mapping | list | tuple):
        return False
    direct = [member for member in members if isinstance(member, Tensor | np.ndarray)]
    dimensions = {array.ndim for array in direct if array.ndim}
    return len(direct) == len(_arrays(batch)) and 1 in dimensions and len(dimensions) > 1


def have_same_batch(batch: Any) -> bool:
    """Whether another rank has this batch as well; called on every rank, for its first batch.

    Copies of a batch on all ranks are the same samples, trained on again. A batch that cannot be
    compared counts as different: its size will not be known either.
    """
    known = [one for one in gathered(_digest(batch)) if one is not None]
    return len(set(known)) < len(known)


def gathered(own: Any) -> list[Any]:
    """A value of each rank, in the order of the ranks; called on every rank."""
    found: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(found, own)
    return found


def _digest(batch: Any) -> Any:
    try:
        return digest(_arrays(batch))
    except Exception as error:  # as above; the other ranks wait for an answer
        _log.warning("a batch cannot be compared with those of other ranks (%s)", error)
        return None


def _arrays(batch: Any) -> list[Tensor | np.ndarray]:
    return [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor | np.ndarray)]


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
