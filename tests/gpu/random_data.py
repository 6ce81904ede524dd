"""Random images that a small network can learn, in the shapes of Fashion-MNIST and CIFAR-10.

A machine with a GPU may have no network and no data. An image is a mixture of noise and of a coarse
pattern, that of its class. So accuracy rises as it does on real images, and times and joules are
those of real shapes. The accuracies mean nothing.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, TensorDataset

NUM_CLASSES = 10
_PATTERN_FRAC = 0.45  # of an image; the rest is noise
_COARSE_PX = 4  # patterns have this many values a side, so that pooling keeps them


class _RandomImages(pl.LightningDataModule):
    """The loaders of bench.train's contract; each batch of a training in a new order."""

    num_classes = NUM_CLASSES
    input_shape: tuple[int, int, int]

    def __init__(self, *, batch_size: int, seed: int, num: int = 20_000) -> None:
        super().__init__()
        self.batch_size, self.seed, self.num_train_samples = batch_size, seed, num

    def setup(self, stage: str) -> None:
        draws = torch.Generator().manual_seed(0)  # the same images for every seed of a run
        channels, *size = self.input_shape
        coarse = torch.randn(NUM_CLASSES, channels, _COARSE_PX, _COARSE_PX, generator=draws)
        patterns = interpolate(coarse, size)
        nums = {"train": self.num_train_samples, "val": 1000, "test": 1000}
        self.splits = {name: self._split(num, patterns, draws) for name, num in nums.items()}

    def _split(self, num: int, patterns: Tensor, draws: torch.Generator) -> TensorDataset:
        classes = torch.randint(NUM_CLASSES, (num,), generator=draws)
        noise = torch.randn(num, *self.input_shape, generator=draws)
        images = _PATTERN_FRAC * patterns[classes] + (1 - _PATTERN_FRAC) * noise
        return TensorDataset(images, classes)

    def train_dataloader(self) -> Any:
        order = torch.Generator().manual_seed(self.seed)
        data = self.splits["train"]
        return DataLoader(data, self.batch_size, shuffle=True, generator=order, drop_last=True)

    def val_dataloader(self) -> Any:
        return DataLoader(self.splits["val"], 512)

    def test_dataloader(self) -> Any:
        return DataLoader(self.splits["test"], 512)


class FashionShaped(_RandomImages):
    """As Fashion-MNIST: 28x28, one channel."""

    input_shape = (1, 28, 28)


class CifarShaped(_RandomImages):
    """As CIFAR-10: 32x32, three channels."""

    input_shape = (3, 32, 32)
