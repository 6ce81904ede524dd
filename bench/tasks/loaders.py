"""Batches: in which order samples come, who gets which, and how a batch is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

Batch = tuple[Tensor, Tensor]
Index = NDArray[np.int64]


def distributed_world() -> tuple[int, int]:
    """Rank and number of ranks of the process group; (0, 1) where there is none."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class BatchOrder(Sampler[Index]):
    """The samples of each batch; where several ranks share a batch, this rank's part of it.

    A shuffled order is redrawn for each pass, from a generator of its own: it depends on the seed
    and on nothing that the rest of the program draws.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        world: Callable[[], tuple[int, int]] = lambda: (0, 1),
    ) -> None:
        """Draw nothing yet.

        Args:
            num_samples: Samples to go through.
            batch_size: Samples of one batch of all ranks together.
            shuffle: Whether each pass has a new order.
            drop_last: Whether a last batch that is not full is left out.
            seed: Of the order; the same on all ranks.
            world: Gives rank and number of ranks when a pass begins: the process group may not
                exist earlier. By default every sample is this process's own.

        Raises:
            ValueError: The batch is empty, or larger than all samples and would be dropped.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        if drop_last and batch_size > num_samples:
            raise ValueError(
                f"batch_size={batch_size}: larger than num_train_samples={num_samples}; "
                f"use at most {num_samples}"
            )
        self._num_samples = num_samples
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._drop_last = drop_last
        self._generator = torch.Generator().manual_seed(seed)
        self._world = world

    def __len__(self) -> int:
        full, rest = divmod(self._num_samples, self._batch_size)
        return full if self._drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[Index]:
        """This rank's contiguous part of each batch, int64 of shape (batch_size / ranks,).

        Raises:
            ValueError: The ranks cannot share a batch equally.
        """
        rank, num_ranks = self._world()
        share, rest = divmod(self._batch_size, num_ranks)
        if rest:
            raise ValueError(
                f"batch_size={self._batch_size}: must be a multiple of the number of "
                f"processes, {num_ranks}"
            )
        order = self._draw()
        for batch in range(len(self)):
            start = batch * self._batch_size + rank * share
            yield order[start : start + share]

    def _draw(self) -> Index:
        if not self._shuffle:
            return np.arange(self._num_samples)
        order: Index = torch.randperm(self._num_samples, generator=self._generator).numpy()
        return order


class PreparedSplit(Dataset[Batch]):
    """Standardised once and kept in memory: a batch costs two gathers.

    Indexed by a whole batch, it gives images, float32 (n, c, h, w), and labels, int64 (n,).
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        """Keep the tensors: float32 (n, c, h, w) and int64 (n,)."""
        self._images = images
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: Index) -> Batch:
        chosen = torch.from_numpy(index)
        return self._images.index_select(0, chosen), self._labels.index_select(0, chosen)


class RawSplit(Dataset[Batch]):
    """Kept as bytes and standardised batch by batch: a quarter of the memory.

    images are uint8 (n, c, h, w), labels int64 (n,), mean and std of shape (c, 1, 1).
    """

    def __init__(self, images: Tensor, labels: Tensor, mean: Tensor, std: Tensor) -> None:
        """Keep the tensors: uint8 (n, c, h, w), int64 (n,), and statistics of shape (c, 1, 1)."""
        self.images = images
        self.labels = labels
        self.mean = mean
        self.std = std

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> Batch:
        chosen = torch.from_numpy(index)
        images = standardise(self.images.index_select(0, chosen), self.mean, self.std)
        return images, self.labels.index_select(0, chosen)

    def prepared(self) -> PreparedSplit:
        """The same samples, standardised now."""
        return PreparedSplit(standardise(self.images, self.mean, self.std), self.labels)


def standardise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Images of zero mean and unit variance per channel, float32 (n, c, h, w).

    Args:
        images: Raw values, uint8 of shape (n, c, h, w).
        mean: Per channel, shape (c, 1, 1).
        std: Per channel, shape (c, 1, 1), positive.
    """
    return images.float().sub_(mean).div_(std)


class TensorLoader:
    """Batches of a split in this thread: no workers, queues or collation to pay for."""

    def __init__(self, split: PreparedSplit, order: BatchOrder) -> None:
        """Go through a split in an order."""
        self.split = split
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.split.__getitem__, self.order)
