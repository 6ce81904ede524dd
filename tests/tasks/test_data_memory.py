"""Where the data of a training is changes neither its samples nor their order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.tasks.data import digits
from bench.tasks.data_memory import PinnedSplit, ResidentSplit, put_data

CPU = torch.device("cpu")


def loaded() -> Any:
    data = digits(batch_size=100, seed=3, num_validation_samples=200, num_workers=0)
    data.setup("fit")
    return data


def batches(data: Any) -> list[Tensor]:
    """Two passes over the training split, each in an order of its own, and the validation split."""
    loaders = [data.train_dataloader()] * 2 + [data.val_dataloader()]
    return [tensor for loader in loaders for batch in loader for tensor in batch]


@pytest.mark.parametrize("memory", ["host", "pinned", "device"])
def test_samples_and_order_are_the_same_to_the_bit(
    memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[Tensor] = []

    def pin(tensor: Tensor) -> Tensor:  # torch pins memory only if there is a GPU
        pinned.append(tensor)
        return tensor

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    expected = batches(loaded())
    data = loaded()
    put_data(data, memory, CPU)
    kinds = {"pinned": PinnedSplit, "device": ResidentSplit}
    if memory != "host":
        assert {type(data.splits[name]) for name in ("train", "val")} == {kinds[memory]}
    data.setup("fit")  # Lightning calls it again
    put_data(data, memory, CPU)  # and so does another training on the same data
    found = batches(data)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    assert len(pinned) == (len(expected) if memory == "pinned" else 0)


def test_batches_of_a_resident_split_are_put_together_where_it_is() -> None:
    """The device `meta` has shapes but no values, and refuses indices that are elsewhere."""
    data = loaded()
    put_data(data, "device", torch.device("meta"))
    inputs, targets = data.splits["train"][np.array([1, 5])]
    assert (inputs.device.type, targets.device.type, len(inputs)) == ("meta", "meta", 2)
    assert data.splits["test"].inputs.device == CPU


@pytest.mark.parametrize(
    "data",
    [
        SimpleNamespace(),
        SimpleNamespace(splits={"train": [1, 2]}),
        digits(batch_size=100, seed=3, num_validation_samples=200, in_memory=False, num_workers=0),
    ],
)
@pytest.mark.parametrize("memory", ["pinned", "device"])
def test_other_data_is_refused(data: Any, memory: str) -> None:
    if hasattr(data, "setup"):
        data.setup("fit")
    with pytest.raises(ValueError, match=f"={memory}: needs data .*data.in_memory="):
        put_data(data, memory, CPU)
