"""Batches: the order of samples, which rank gets which, and how a batch is put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

Batch = tuple[Tensor, Tensor]
Index = NDArray[np.int64]


def distributed_world() -> tuple[int, int]:
    """Rank and number of ranks of the process group; (0, 1) if there is none."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


@dataclass(eq=False)
class BatchOrder(Sampler[Index]):
    """The samples of each batch or, if several ranks share a batch, this rank's part of it.

    A shuffled order is redrawn for each pass. It comes from a separate generator, so it depends on
    the seed and on nothing that the rest of the program draws.

    Attributes:
        num_samples: Samples in one pass.
        batch_size: Samples of one batch of all ranks together.
        shuffle: Draw a new order for each pass.
        drop_last: Leave out a last batch that is not full.
        seed: The seed of the order; the same on all ranks.
        world: Gives rank and number of ranks. It is called when a pass begins, because the process
            group may not exist earlier. By default this process gets all samples.
    """

    num_samples: int
    batch_size: int
    _: KW_ONLY
    shuffle: bool = False
    drop_last: bool = False
    seed: int = 0
    world: Callable[[], tuple[int, int]] = lambda: (0, 1)

    def __post_init__(self) -> None:
        """Check the batch size.

        Raises:
            ValueError: The batch is empty, or larger than all samples and would be dropped.
        """
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size}: must be at least 1")
        if self.drop_last and self.batch_size > self.num_samples:
            raise ValueError(
                f"batch_size={self.batch_size}: larger than num_train_samples={self.num_samples}; "
                f"use at most {self.num_samples}"
            )
        self._generator = torch.Generator().manual_seed(self.seed)

    def __len__(self) -> int:
        full, rest = divmod(self.num_samples, self.batch_size)
        return full if self.drop_last or not rest else full + 1

    def __iter__(self) -> Iterator[Index]:
        """Give this rank's contiguous part of each batch, int64 of shape (batch_size / ranks,).

        Raises:
            ValueError: The ranks cannot share a batch equally.
        """
        rank, num_ranks = self.world()
        share, rest = divmod(self.batch_size, num_ranks)
        if rest:
            raise ValueError(
                f"batch_size={self.batch_size}: must be a multiple of the number of "
                f"processes, {num_ranks}"
            )
        order = self._draw()
        for batch in range(len(self)):
            # All ranks draw the same order, so contiguous parts of a batch never overlap.
            start = batch * self.batch_size + rank * share
            yield order[start : start + share]

    def _draw(self) -> Index:
        """The samples of one pass in order, shape (num_samples,)."""
        order: Index = np.arange(self.num_samples)
        if self.shuffle:
            order = torch.randperm(self.num_samples, generator=self._generator).numpy()
        return order


@dataclass(eq=False)
class PreparedSplit(Dataset[Batch]):
    """A split that is prepared once and kept in memory, so that a batch costs two gathers.

    Its index is a whole batch. inputs and targets have one row for each sample.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: Index) -> Batch:
        chosen = torch.from_numpy(index)
        return self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)


@dataclass(eq=False)
class RawSplit(Dataset[Batch]):
    """A split that is kept as bytes, in a quarter of the memory, and standardised batch by batch.

    images are uint8 (n, c, h, w), labels int64 (n,), mean and std of shape (c, 1, 1).
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Index) -> Batch:
        chosen = torch.from_numpy(index)
        images = standardise(self.images.index_select(0, chosen), self.mean, self.std)
        return images, self.labels.index_select(0, chosen)

    def prepared(self) -> PreparedSplit:
        """Standardise all samples now."""
        return PreparedSplit(standardise(self.images, self.mean, self.std), self.labels)


def standardise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Give images zero mean and unit variance per channel, as float32 (n, c, h, w).

    Args:
        images: Raw values, uint8 of shape (n, c, h, w).
        mean: Per channel, shape (c, 1, 1).
        std: Per channel, shape (c, 1, 1), positive.
    """
    # In place, because a whole split may be a quarter of the memory.
    return images.float().sub_(mean).div_(std)


@dataclass(eq=False)
class TensorLoader:
    """Loads batches of a split in this thread, without the cost of workers, queues or collation."""

    split: Dataset[Batch]
    order: BatchOrder

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.split.__getitem__, self.order)
