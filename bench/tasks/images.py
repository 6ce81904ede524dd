"""The data module of labelled images: splits, standardisation and loaders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Required, TypedDict

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader
from typing_extensions import override

from bench.tasks.loaders import (
    Batch,
    BatchOrder,
    PreparedSplit,
    RawSplit,
    TensorLoader,
    distributed_world,
)
from bench.tasks.sources import NUM_CLASSES, LabelledImages, Pools

# Larger data stays as bytes: half of the memory is left for the model and the system.
_MEMORY_FRAC = 0.25
_BYTES_PER_FLOAT = 4


class ImageOptions(TypedDict, total=False):
    """Options of every data set of images, as ImageDataModule has them."""

    batch_size: Required[int]
    seed: Required[int]
    num_validation_samples: int
    split_seed: int
    in_memory: bool | None
    num_workers: int
    eval_batch_size: int


def channel_statistics(images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, float32 of shape (c, 1, 1).

    Args:
        images: Shape (n, c, h, w), n >= 1.
    """
    values = torch.arange(256, dtype=torch.float64)
    # Counting the 256 values is exact and needs no copy of the images as floats.
    counts = torch.stack(
        [
            torch.bincount(torch.from_numpy(images[:, channel]).reshape(-1), minlength=256)
            for channel in range(images.shape[1])
        ]
    ).double()
    weights = counts / counts.sum(dim=1, keepdim=True)
    mean = weights @ values
    variance = (weights * (values - mean[:, None]) ** 2).sum(dim=1)
    # A constant channel carries nothing: it becomes 0, not NaN.
    std = torch.where(variance > 0, variance.sqrt(), 1.0)
    return mean.float().reshape(-1, 1, 1), std.float().reshape(-1, 1, 1)


def physical_memory_bytes() -> int:
    """Memory of the machine.

    The whole of it, not what is free just now: the same configuration must load its data the same
    way in each run.
    """
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class ImageDataModule(pl.LightningDataModule):
    """Images with one label each, in a training, a validation and a test split.

    raw_test holds the pixels of the test split before they are standardised, after setup().
    """

    num_classes = NUM_CLASSES
    input_shape: tuple[int, int, int]
    num_train_samples: int

    def __init__(
        self,
        read: Callable[[], Pools],
        *,
        batch_size: int,
        seed: int,
        num_validation_samples: int,
        split_seed: int = 0,
        in_memory: bool | None = None,
        num_workers: int = 0,
        eval_batch_size: int = 512,
    ) -> None:
        """Nothing is read before setup().

        Args:
            read: Gives the pool that training and validation are cut from, and the test split.
            batch_size: Samples of one training step, over all ranks together.
            seed: Of the order of training samples, and of nothing else.
            num_validation_samples: Size of the validation split, stratified by class.
            split_seed: Fixes which samples are in the validation split.
            in_memory: Keep standardised float32 images (True), or bytes that a DataLoader
                standardises (False); None takes the first if a quarter of the memory is enough.
            num_workers: Processes of that DataLoader.
            eval_batch_size: Samples of one evaluation batch.
        """
        super().__init__()
        self._read = read
        self._batch_size = batch_size
        self._seed = seed
        self._num_validation = num_validation_samples
        self._split_seed = split_seed
        self._in_memory = in_memory
        self._num_workers = num_workers
        self._eval_batch_size = eval_batch_size
        self._splits: dict[str, PreparedSplit | RawSplit] = {}
        self.raw_test: RawSplit | None = None

    @override
    def setup(self, stage: str = "fit") -> None:
        """Read and split the data, once.

        Raises:
            ValueError: The batch or the validation split is larger than the data allows, or there
                are workers and nothing for them to do.
            FileNotFoundError: The data is nowhere; see bench.tasks.sources.
        """
        if self._splits:
            return
        development, test = self._read()
        train, validation = self._cut(development)
        mean, std = channel_statistics(train.images)
        channels, height, width = train.images.shape[1:]
        self.input_shape = (channels, height, width)
        self.num_train_samples = len(train.labels)
        self._train_order()  # refuses a batch that is too large before anything is prepared
        num_values = train.images.size + validation.images.size + test.images.size
        in_memory = self._keeps_floats(num_values)
        for name, part in (("train", train), ("val", validation), ("test", test)):
            raw = RawSplit(torch.from_numpy(part.images), torch.from_numpy(part.labels), mean, std)
            self._splits[name] = raw.prepared() if in_memory else raw
        self.raw_test = raw

    @override
    def train_dataloader(self) -> Iterable[Batch]:
        """Full batches in an order that the seed gives, redrawn for each epoch."""
        return self._loader("train", self._train_order())

    @override
    def val_dataloader(self) -> Iterable[Batch]:
        """The whole validation split; every rank goes through all of it, so quality is exact."""
        return self._loader("val", self._eval_order("val"))

    @override
    def test_dataloader(self) -> Iterable[Batch]:
        """The whole test split."""
        return self._loader("test", self._eval_order("test"))

    def _keeps_floats(self, num_values: int) -> bool:
        in_memory = self._in_memory
        if in_memory is None:
            in_memory = num_values * _BYTES_PER_FLOAT <= _MEMORY_FRAC * physical_memory_bytes()
        if in_memory and self._num_workers:
            raise ValueError(
                f"data.num_workers={self._num_workers}: the data is kept in memory, which needs "
                "no workers; set data.in_memory=false to use them"
            )
        return in_memory

    def _train_order(self) -> BatchOrder:
        return BatchOrder(
            self.num_train_samples,
            self._batch_size,
            shuffle=True,
            drop_last=True,  # so that samples = steps x batch_size
            seed=self._seed,
            world=distributed_world,
        )

    def _eval_order(self, name: str) -> BatchOrder:
        return BatchOrder(len(self._splits[name]), self._eval_batch_size)

    def _loader(self, name: str, order: BatchOrder) -> Iterable[Batch]:
        split = self._splits[name]
        if isinstance(split, PreparedSplit):
            return TensorLoader(split, order)
        # The order is drawn in this process, whatever the workers do.
        return DataLoader(
            split,
            sampler=order,
            batch_size=None,  # each index is a batch already
            num_workers=self._num_workers,
            persistent_workers=self._num_workers > 0,
            generator=torch.Generator().manual_seed(self._seed),
        )

    def _cut(self, pool: LabelledImages) -> tuple[LabelledImages, LabelledImages]:
        """Training and validation split out of the pool, stratified by class."""
        most = len(pool.labels) - self.num_classes
        if not self.num_classes <= self._num_validation <= most:
            raise ValueError(
                f"data.num_validation_samples={self._num_validation}: must be between "
                f"{self.num_classes} (one per class) and {most}"
            )
        train, validation = train_test_split(
            np.arange(len(pool.labels)),
            test_size=self._num_validation,
            random_state=self._split_seed,
            stratify=pool.labels,
        )
        return pool[train], pool[validation]
