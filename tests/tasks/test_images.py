"""Splits, their order and their standardisation, on scikit-learn's digits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.tasks.data import digits
from bench.tasks.images import ImageDataModule, channel_statistics
from bench.tasks.loaders import Batch, BatchOrder


def ready(**options: object) -> ImageDataModule:
    data = digits(**{"batch_size": 32, "seed": 0, **options})
    data.setup()
    return data


def images_of(batches: object) -> Tensor:
    parts: list[Batch] = list(batches)  # type: ignore[call-overload]
    return torch.cat([images for images, _ in parts])


def rows(images: Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_sizes_are_those_of_the_docstring() -> None:
    data = ready(batch_size=1)
    assert data.input_shape == (1, 8, 8)
    assert data.num_train_samples == 1077
    loaders = (data.train_dataloader(), data.val_dataloader(), data.test_dataloader())
    assert [len(images_of(loader)) for loader in loaders] == [1077, 360, 360]


def test_splits_share_no_image() -> None:
    data = ready(batch_size=1)
    parts = [data.train_dataloader(), data.val_dataloader(), data.test_dataloader()]
    for one, other in itertools.combinations([rows(images_of(part)) for part in parts], 2):
        assert not one & other


def test_the_seed_of_a_run_changes_the_order_and_never_the_split() -> None:
    one, other = ready(seed=0, batch_size=1), ready(seed=1, batch_size=1)
    assert torch.equal(images_of(one.val_dataloader()), images_of(other.val_dataloader()))
    assert torch.equal(images_of(one.test_dataloader()), images_of(other.test_dataloader()))
    first, second = images_of(one.train_dataloader()), images_of(other.train_dataloader())
    assert not torch.equal(first, second)
    assert rows(first) == rows(second)


def test_the_split_seed_changes_the_split() -> None:
    one, other = ready(split_seed=0), ready(split_seed=1)
    assert rows(images_of(one.val_dataloader())) != rows(images_of(other.val_dataloader()))


def test_an_epoch_has_a_new_order_and_each_seed_always_the_same_ones() -> None:
    torch.manual_seed(1)
    loader = ready(seed=7).train_dataloader()
    torch.manual_seed(2)  # what the rest of the program draws changes nothing
    again = ready(seed=7).train_dataloader()
    first, second = images_of(loader), images_of(loader)
    assert not torch.equal(first, second)
    assert torch.equal(first, images_of(again))
    assert torch.equal(second, images_of(again))


def test_training_batches_are_full() -> None:
    # 1077 = 33 x 32 + 21: the last 21 wait for another epoch's order.
    sizes = [len(labels) for _, labels in ready(batch_size=32).train_dataloader()]
    assert sizes == [32] * 33


def test_standardised_with_the_statistics_of_the_training_split_alone() -> None:
    data = ready(batch_size=1)
    train = images_of(data.train_dataloader())
    assert train.mean().item() == pytest.approx(0, abs=1e-5)
    assert train.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert images_of(data.val_dataloader()).mean().item() != pytest.approx(0, abs=1e-5)


def test_statistics_per_channel() -> None:
    images = np.zeros((2, 2, 1, 2), np.uint8)
    images[:, 0] = [[[0, 2]], [[4, 6]]]  # mean 3, squared distances 9, 1, 1, 9: variance 5
    images[:, 1] = 9  # constant: it must not be divided by 0
    mean, std = channel_statistics(images)
    assert mean.flatten().tolist() == [3, 9]
    assert std.flatten().tolist() == pytest.approx([5**0.5, 1])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_with_workers_gives_the_same_batches(num_workers: int) -> None:
    in_memory = ready(seed=3).train_dataloader()
    raw = ready(seed=3, in_memory=False, num_workers=num_workers).train_dataloader()
    for (images, labels), (raw_images, raw_labels) in zip(in_memory, raw, strict=True):
        assert torch.equal(images, raw_images)
        assert torch.equal(labels, raw_labels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 2000}, "batch_size=2000: larger than num_train_samples=1077"),
        ({"batch_size": 0}, "batch_size=0: must be at least 1"),
        ({"num_validation_samples": 9}, "data.num_validation_samples=9: must be between 10"),
        ({"num_workers": 1}, "data.num_workers=1: the data is kept in memory"),
    ],
)
def test_what_the_data_does_not_allow_is_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ready(**options)


def test_ranks_share_each_batch_and_nothing_twice() -> None:
    def part(rank: int) -> list[list[int]]:
        order = BatchOrder(10, 4, shuffle=True, drop_last=True, seed=5, world=lambda: (rank, 2))
        return [batch.tolist() for batch in order]

    whole = [b.tolist() for b in BatchOrder(10, 4, shuffle=True, drop_last=True, seed=5)]
    assert [one + other for one, other in zip(part(0), part(1), strict=True)] == whole
    assert len({sample for batch in whole for sample in batch}) == 8


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=3: must be a multiple of the number"):
        next(iter(BatchOrder(10, 3, world=lambda: (0, 2))))
