from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler

from bench.training.batches import SampleCounter, batches_of_pass, have_same_batch, num_samples

IMAGES, LABELS = torch.zeros(4, 1, 2, 2), torch.zeros(4)


def loader_of(num: int, **options: Any) -> DataLoader[Any]:
    return DataLoader(range(num), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "batch",
    [
        IMAGES,
        (IMAGES, LABELS),
        {"image": IMAGES, "meta": {"label": LABELS, "weight": torch.tensor(0.5)}},
        [np.zeros((4, 3)), LABELS, "a.png"],
        (torch.zeros(4, 7), torch.zeros(4, 7)),  # a token for each token
    ],
)
def test_the_size_of_a_batch_is_what_its_tensors_and_its_loader_agree_on(batch: Any) -> None:
    assert num_samples(batch, loader_of(12, batch_size=4)) == 4
    assert num_samples(batch, loader_of(10, batch_size=3)) is None


def test_the_last_batch_of_a_pass_may_be_smaller() -> None:
    loader = loader_of(10, batch_size=6)
    assert num_samples((IMAGES, LABELS), loader, 1) == 4
    assert num_samples((IMAGES, LABELS), loader, 0) is None


@pytest.mark.parametrize("loader", [None, loader_of(12, batch_size=None)])
@pytest.mark.parametrize(
    ("batch", "size"),
    [
        ((IMAGES, LABELS), 4),
        ({"image": IMAGES, "label": LABELS}, 4),
        (IMAGES, None),  # as well four channels of one image
        ((torch.zeros(5, 16, 8), torch.zeros(5, 16)), None),  # as well time first
        ([torch.zeros(8)] * 16, None),
        ([{"boxes": torch.zeros(3, 4), "labels": torch.zeros(3)}] * 16, None),
    ],
)
def test_without_a_word_of_the_loader_labels_settle_the_size(
    loader: Any, batch: Any, size: int | None
) -> None:
    assert num_samples(batch, loader) == size


@pytest.mark.parametrize(
    "batch",
    [
        (torch.zeros(7, 2), torch.zeros(3)),  # nodes and graphs
        (torch.zeros(9, 4, 8), LABELS),  # time first
        (torch.zeros(9, 4), torch.zeros(9, 4)),  # likewise
        [torch.zeros(3, 4, 4)] * 4,  # images in a list
        ([torch.zeros(3, 4, 4)] * 4, [0, 1, 2, 3]),
        {"image": [torch.zeros(3, 4, 4)] * 4, "name": ["x"] * 4},
        ["a sentence", "another one"],
        torch.tensor(1.0),
        object(),
        (),
    ],
)
def test_a_size_that_cannot_be_known_is_no_guess(batch: Any) -> None:
    assert num_samples(batch, loader_of(12, batch_size=4)) is None
    assert num_samples(batch) is None


class Stream(IterableDataset[int]):
    """Claims a length."""

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 12


@pytest.mark.parametrize(
    ("loader", "num"),
    [
        (loader_of(10, batch_size=4), 3),
        (loader_of(10, batch_size=4, drop_last=True), 2),
        (loader_of(10, batch_size=2, sampler=SubsetRandomSampler(range(6))), 3),
        (loader_of(8, batch_size=None), 8),
        ([1, 2], None),  # two loaders
        (DataLoader(Stream(), batch_size=4), None),
        (iter(()), None),
    ],
)
def test_a_pass_has_as_many_batches_as_its_loader(loader: Any, num: int | None) -> None:
    assert batches_of_pass(loader) == num


def test_ranks_with_the_same_batch_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for other in (None, "of other samples"):

        def gather(digests: list[Any], own: Any, other: str | None = other) -> None:
            digests[:] = [own, own if other is None else other]

        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
        found[other] = have_same_batch((IMAGES, LABELS))
    assert found == {None: True, "of other samples": False}


class NoLength(np.ndarray):
    def __len__(self) -> int:
        raise RuntimeError("no length")


def holding_itself() -> list[Any]:
    batch: list[Any] = [IMAGES]
    batch.append(batch)
    return batch


@pytest.mark.parametrize(
    "batch",
    [
        torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
        (np.zeros(4).view(NoLength), LABELS),
        holding_itself(),
    ],
    ids=["nested", "no length", "holding itself"],
)
def test_a_batch_that_cannot_be_looked_at_ends_no_training(
    batch: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = SampleCounter()
    trainer = SimpleNamespace(world_size=1, train_dataloader=loader_of(8, batch_size=4))
    for index in range(2):
        assert count(trainer, batch, index) is None  # type: ignore[arg-type]
    (message,) = caplog.messages  # once, with the reason
    assert "is not clear (" in message
    gathered: list[Any] = []
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", lambda _, own: gathered.append(own))
    assert have_same_batch(batch) is False
    assert len(gathered) == 1  # the other ranks got an answer
