"""Puts the data of a training into memory from which a GPU gets it faster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import override

from bench.tasks.loaders import Batch, Index, PreparedSplit

# The splits that are read on the clock; the test split stays where it is.
_ON_THE_CLOCK = ("train", "val")


@dataclass(eq=False)
class ResidentSplit(PreparedSplit):
    """A split whose samples are on a device, where batches are put together as well."""

    @override
    def __getitem__(self, index: Index) -> Batch:
        # A copy of the numbers of a batch, a few hundred bytes, instead of its samples.
        chosen = torch.from_numpy(index).to(self.inputs.device, non_blocking=True)
        return self.inputs.index_select(0, chosen), self.targets.index_select(0, chosen)


@dataclass(eq=False)
class PinnedSplit(PreparedSplit):
    """A split whose batches are in pinned memory: the copy to a GPU does not wait for them."""

    @override
    def __getitem__(self, index: Index) -> Batch:
        inputs, targets = super().__getitem__(index)
        return inputs.pin_memory(), targets.pin_memory()


def put_data(data: Any, memory: str, device: torch.device) -> None:
    """Put the training and the validation split of a data module into some memory.

    Args:
        data: The data module, set up. Its samples and their order stay the same.
        memory: The key trainer.data_memory.
        device: The device of the training.

    Raises:
        ValueError: The data is not kept in memory as tensors.
    """
    if memory == "host":
        return
    splits = getattr(data, "splits", None)
    if not isinstance(splits, dict):
        splits = {}
    for name in _ON_THE_CLOCK:
        split = splits.get(name)
        if not isinstance(split, PreparedSplit):
            raise ValueError(
                f"trainer.data_memory={memory}: needs data that is kept in memory as tensors; use "
                "data.in_memory=true for images, and host for text and data of your own"
            )
        if memory == "pinned":
            splits[name] = PinnedSplit(split.inputs, split.targets)
        else:
            splits[name] = ResidentSplit(split.inputs.to(device), split.targets.to(device))
