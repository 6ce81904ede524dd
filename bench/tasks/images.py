"""The data module of labelled images: splits, standardisation and loaders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import DataLoader
from typing_extensions import override

from bench.tasks.feature_scale import FeatureScale
from bench.tasks.image_files import NUM_CLASSES, LabelledImages, Pools
from bench.tasks.loaders import Batch, BatchOrder, PreparedSplit, RawSplit
from bench.tasks.split_data import SplitDataModule

# Images that need more than this as floats stay bytes. The rest of the memory is for a copy while
# they are prepared, for the model and for the system.
_MEMORY_FRAC = 0.25
_BYTES_PER_FLOAT = 4


def channel_statistics(images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Compute mean and standard deviation per channel, float32 of shape (c, 1, 1).

    Args:
        images: Shape (n, c, h, w), n >= 1.
    """
    values = torch.arange(256, dtype=torch.float64)
    # Counting how often each of the 256 values occurs is exact, and needs no images as floats.
    counts = torch.stack(
        [
            torch.bincount(torch.from_numpy(images[:, channel]).reshape(-1), minlength=256)
            for channel in range(images.shape[1])
        ]
    ).double()
    weights = counts / counts.sum(dim=1, keepdim=True)
    mean = weights @ values
    variance = (weights * (values - mean[:, None]) ** 2).sum(dim=1)
    # A constant channel has a deviation of 0: dividing by 1 makes it 0, not NaN.
    std = torch.where(variance > 0, variance.sqrt(), 1.0)
    return mean.float().reshape(-1, 1, 1), std.float().reshape(-1, 1, 1)


def physical_memory_bytes() -> int:
    """The memory of the machine.

    Free memory changes from run to run, and the same configuration must always load its data in
    the same way. So this is all of it.
    """
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@dataclass(kw_only=True, eq=False)
class ImageDataModule(SplitDataModule):
    """Images with one label each, in a training, a validation and a test split.

    Nothing is read before setup(), which also sets the attributes after num_workers.

    Attributes:
        read: Gives the samples for training and validation, and the test split.
        num_validation_samples: Size of the validation split, stratified by class.
        split_seed: Decides which samples are in the validation split.
        in_memory: Keep standardised float32 images (True), or bytes that a DataLoader standardises
            (False). With None, float32 images are kept if a quarter of the memory is enough.
        num_workers: Processes of the DataLoader.
        input_shape: (channels, height, width) of an image.
        raw_test: The pixels of the test split before they are standardised.
        feature_scale: How the rows of an image were standardised.
    """

    read: Callable[[], Pools]
    num_validation_samples: int
    split_seed: int = 0
    in_memory: bool | None = None
    num_workers: int = 0
    input_shape: tuple[int, int, int] = field(init=False)
    raw_test: RawSplit | None = field(init=False, default=None)
    feature_scale: FeatureScale = field(init=False)

    num_classes = NUM_CLASSES

    @override
    def setup(self, stage: str = "fit") -> None:
        """Read and split the data, once.

        Raises:
            ValueError: The batch or the validation split is larger than the data allows, or there
                are workers without work.
            FileNotFoundError: The data is not found; see bench.tasks.sources.
        """
        if self.splits:
            return
        development, test = self.read()
        train, validation = self._cut(development)
        mean, std = channel_statistics(train.images)
        channels, height, width = train.images.shape[1:]
        self.input_shape = (channels, height, width)
        self.num_train_samples = len(train.labels)
        self.train_order()  # refuses a batch that is too large, before the costly preparation
        num_values = train.images.size + validation.images.size + test.images.size
        in_memory = self._keeps_floats(num_values)
        for name, part in (("train", train), ("val", validation), ("test", test)):
            raw = RawSplit(torch.from_numpy(part.images), torch.from_numpy(part.labels), mean, std)
            self.splits[name] = raw.prepared() if in_memory else raw
        self.raw_test = raw
        by_row = [np.repeat(each.double().numpy(), height, axis=1) for each in (mean, std)]
        self.feature_scale = FeatureScale(
            mean=by_row[0], std=by_row[1], axis=1, num_features=height
        )

    def _keeps_floats(self, num_values: int) -> bool:
        in_memory = self.in_memory
        if in_memory is None:
            in_memory = num_values * _BYTES_PER_FLOAT <= _MEMORY_FRAC * physical_memory_bytes()
        if in_memory and self.num_workers:
            raise ValueError(
                f"data.num_workers={self.num_workers}: the data is kept in memory, which needs "
                "no workers; set data.in_memory=false to use them"
            )
        return in_memory

    @override
    def make_loader(self, name: str, order: BatchOrder) -> Iterable[Batch]:
        """Load the batches of a split, of bytes with a DataLoader."""
        split = self.splits[name]
        if isinstance(split, PreparedSplit):
            return super().make_loader(name, order)
        # The order is drawn in this process, so it does not depend on the number of workers.
        return DataLoader(
            split,
            sampler=order,
            batch_size=None,  # an index is a whole batch
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _cut(self, pool: LabelledImages) -> tuple[LabelledImages, LabelledImages]:
        """Cut a training and a validation split out of a pool of samples, stratified by class."""
        most = len(pool.labels) - self.num_classes
        if not self.num_classes <= self.num_validation_samples <= most:
            raise ValueError(
                f"data.num_validation_samples={self.num_validation_samples}: must be between "
                f"{self.num_classes} (one per class) and {most}"
            )
        train, validation = train_test_split(
            np.arange(len(pool.labels)),
            test_size=self.num_validation_samples,
            random_state=self.split_seed,
            stratify=pool.labels,
        )
        return pool[train], pool[validation]
