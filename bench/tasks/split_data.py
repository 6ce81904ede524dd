"""The base of the data modules here: three splits in memory, and their loaders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
from typing_extensions import override

from bench.tasks.loaders import Batch, BatchOrder, TensorLoader, distributed_world


@dataclass(kw_only=True, eq=False)
class SplitDataModule(pl.LightningDataModule):
    """Data in a training, a validation and a test split.

    A subclass fills `splits` in setup(), and sets num_train_samples and what its task needs. Each
    split is a data set whose index is a whole batch.

    Attributes:
        batch_size: Samples of one training step, over all ranks together.
        seed: Seed of the order of training samples, and of nothing else.
        eval_batch_size: Samples of one evaluation batch.
        num_train_samples: Samples of one pass over the training split.
        splits: The splits by name: `train`, `val` and `test`.
    """

    batch_size: int
    seed: int
    eval_batch_size: int = 512
    num_train_samples: int = field(init=False)
    splits: dict[str, Any] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Prepare what Lightning keeps of a data module."""
        super().__init__()

    @override
    def train_dataloader(self) -> Iterable[Batch]:
        """Full batches in an order that depends on the seed and is redrawn for each epoch."""
        return self.make_loader("train", self.train_order())

    @override
    def val_dataloader(self) -> Iterable[Batch]:
        """The whole validation split on every rank, so that quality is exact."""
        return self.make_loader("val", self.eval_order("val"))

    @override
    def test_dataloader(self) -> Iterable[Batch]:
        """The whole test split."""
        return self.make_loader("test", self.eval_order("test"))

    def train_order(self) -> BatchOrder:
        """The order of training samples; refuses a batch that is larger than the split."""
        return BatchOrder(
            self.num_train_samples,
            self.batch_size,
            shuffle=True,
            drop_last=True,  # then samples = steps x batch_size
            seed=self.seed,
            world=distributed_world,
        )

    def eval_order(self, name: str) -> BatchOrder:
        """The order of the samples of another split: as they are."""
        return BatchOrder(len(self.splits[name]), self.eval_batch_size)

    def make_loader(self, name: str, order: BatchOrder) -> Iterable[Batch]:
        """Load the batches of a split in this thread, without workers."""
        return TensorLoader(self.splits[name], order)
