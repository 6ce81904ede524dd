"""A user's own data and models: a correct one, and others with one mistake each."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

NUM_CLASSES, SHAPE, BATCH_SIZE = 3, (1, 2, 2), 4


class OwnData(pl.LightningDataModule):
    """Twelve, five and six images of three classes."""

    num_classes, input_shape, num_train_samples = NUM_CLASSES, SHAPE, 12

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.splits = {
            name: (torch.randn(num, *SHAPE, generator=draws), torch.arange(num) % NUM_CLASSES)
            for name, num in (("train", 12), ("val", 5), ("test", 6))
        }

    def loader(self, name: str, batch_size: int) -> Any:
        return DataLoader(TensorDataset(*self.splits[name]), batch_size)

    def train_dataloader(self) -> Any:
        return self.loader("train", BATCH_SIZE)

    def val_dataloader(self) -> Any:
        return self.loader("val", 3)

    def test_dataloader(self) -> Any:
        return self.loader("test", 3)


class Network(nn.Module):
    def __init__(self, num_outputs: int = NUM_CLASSES) -> None:
        super().__init__()
        self.head = nn.Linear(4, num_outputs)

    def logits(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.flatten(1))
        return logits

    def forward(self, images: Tensor) -> Any:
        return self.logits(images)


class Pair(Network):
    def forward(self, images: Tensor) -> Any:
        return (self.logits(images),) * 2


class Named(Network):
    def forward(self, images: Tensor) -> Any:
        return {"logits": self.logits(images)}


class InPlace(Network):
    """Writes into the images that it is given."""

    def forward(self, images: Tensor) -> Any:
        return self.logits(images.mul_(2))


class Masked(Network):
    """Has one class more than the data, and rules it out."""

    def forward(self, images: Tensor) -> Any:
        logits = self.logits(images)
        return torch.cat([logits, torch.full_like(logits[:, :1], -torch.inf)], dim=1)


class Untrained(Network):
    def forward(self, images: Tensor) -> Any:
        return self.logits(images).detach()
