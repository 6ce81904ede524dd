"""The data of one training in a deployment: labelled samples that are in memory already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from typing_extensions import override

from bench.drift.samples import Floats, Index
from bench.tasks.loaders import Batch, PreparedSplit
from bench.tasks.split_data import SplitDataModule


@dataclass(frozen=True, slots=True)
class Labelled:
    """Inputs of the network, float32 (n, ...), and their classes, int64 (n,)."""

    inputs: Floats
    labels: Index

    def __len__(self) -> int:
        return len(self.labels)

    def prepared(self) -> PreparedSplit:
        """As tensors, for a loader."""
        return PreparedSplit(torch.from_numpy(self.inputs), torch.from_numpy(self.labels))


@dataclass(kw_only=True, eq=False)
class LabelledData(SplitDataModule):
    """Labelled samples: one split to train on, one that decides when the target is reached.

    Attributes:
        train: Samples to train on.
        validation: Samples that decide when the target is reached.
        num_classes: Number of classes.
    """

    train: Labelled
    validation: Labelled
    num_classes: int

    def __post_init__(self) -> None:
        """Make the splits; nothing has to be read."""
        super().__post_init__()
        self.num_train_samples = len(self.train)
        self.splits = {"train": self.train.prepared(), "val": self.validation.prepared()}

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.train.inputs.shape[1:]

    @override
    def setup(self, stage: str = "fit") -> None:
        """Do nothing: the splits exist."""

    @override
    def test_dataloader(self) -> Iterable[Batch]:
        """The validation split: the quality of a deployed model is that of what it serves."""
        return self.val_dataloader()
