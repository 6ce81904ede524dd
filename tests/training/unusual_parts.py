"""Unusual but legal models and data of users, for the built-in tasks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.training.own_data import SHAPE, OwnData


class Data(OwnData):
    """Twelve, five and six images of three classes, with the arguments of a run."""

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        for name, (inputs, targets) in self.splits.items():
            self.splits[name] = inputs, self.targets(name, inputs, targets)

    def targets(self, split: str, inputs: Tensor, classes: Tensor) -> Tensor:
        return classes

    def train_dataloader(self) -> Any:
        return self.loader("train", self.batch_size)


class OneClass(Data):
    num_classes = 1

    def targets(self, split: str, inputs: Tensor, classes: Tensor) -> Tensor:
        return torch.zeros_like(classes)


class AbsentClass(Data):
    """The third class is in the training split only."""

    def targets(self, split: str, inputs: Tensor, classes: Tensor) -> Tensor:
        return classes if split == "train" else classes.clamp(max=1)


class OneLabel(Data):
    """Several labels for each example are possible, but there is one, which nothing has."""

    num_labels = 1

    def targets(self, split: str, inputs: Tensor, classes: Tensor) -> Tensor:
        return torch.zeros(len(classes), 1)


class Flat(Data):
    """All values are the same, so that R2 is not defined."""

    num_outputs = 1

    def targets(self, split: str, inputs: Tensor, classes: Tensor) -> Tensor:
        return torch.full((len(classes),), 7.0)


class Indices(Data):
    """Each row has two indices of an embedding."""

    input_shape = (2,)  # type: ignore[assignment]

    def loader(self, name: str, batch_size: int) -> Any:
        inputs, targets = self.splits[name]
        return DataLoader(TensorDataset((inputs.flatten(1)[:, :2] > 0).long(), targets), batch_size)


class Linear(nn.Module):
    def __init__(self, num_outputs: int) -> None:
        super().__init__()
        self.head = nn.Linear(4, num_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.head(inputs.flatten(1))
        return outputs


def linear(
    *, input_shape: Any = SHAPE, num_classes: int | None = None, num_outputs: int | None = None
) -> nn.Module:
    return Linear(num_classes or num_outputs or 1)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self, *, input_shape: Any, num_classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.head = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.second(self.first(images.flatten(1)).relu()))
        return logits


class Sparse(nn.Module):
    """An embedding with sparse gradients."""

    def __init__(self, *, input_shape: Any, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(2, 3, sparse=True)
        self.head = nn.Linear(6, num_classes)

    def forward(self, rows: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embedding(rows).flatten(1))
        return logits


class BuffersOnly(nn.Module):
    def __init__(self, *, input_shape: Any, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(num_classes, 4))

    def forward(self, images: Tensor) -> Tensor:
        assert isinstance(self.weight, Tensor)
        return images.flatten(1) @ self.weight.T
