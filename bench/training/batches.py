"""What can be known of a batch, whatever a user's loader makes it of."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

_log = logging.getLogger(__name__)


class SampleCounter:
    """Tells how many samples each batch of a training adds to those that were seen."""

    def __init__(self) -> None:
        """Nothing is known of the ranks before the first batch."""
        self._is_shared: bool | None = None

    def __call__(self, trainer: pl.Trainer, batch: Any) -> int | None:
        """Samples of this rank's batch.

        Returns:
            None where its size cannot be known, or where the ranks train on copies of one another's
            batches.
        """
        if self._is_shared is None:
            self._is_shared = trainer.world_size > 1 and have_same_batch(batch)
            if self._is_shared:
                _log.warning("all ranks train on the same samples: their number is not recorded")
        return None if self._is_shared else num_samples(batch)


def num_samples(batch: Any) -> int | None:
    """Samples of a batch: the first dimension of all tensors and arrays in it.

    Returns:
        None where they do not agree, or there are none: a guess would be a wrong number of samples.
    """
    sizes = {len(leaf) for leaf in _arrays(batch) if leaf.ndim}
    return sizes.pop() if len(sizes) == 1 else None


def have_same_batch(batch: Any) -> bool:
    """Whether another rank has this batch as well; called on every rank, for its first batch.

    Copies of a batch on all ranks are the same samples trained on again.
    """
    digests: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(digests, digest(_arrays(batch)))
    return len(set(digests)) < len(digests)


def digest(arrays: Sequence[Tensor | np.ndarray]) -> str:
    """What tells batches apart: a hash of their bytes."""
    found = hashlib.sha256()
    for array in arrays:
        tensor = torch.as_tensor(array).detach().cpu().contiguous()
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _arrays(batch: Any) -> list[Tensor | np.ndarray]:
    return [leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor | np.ndarray)]
