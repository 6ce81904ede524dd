"""How ranks must share the samples; here the ranks are lists written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from bench.tasks.find_task import make_task
from bench.tasks.task import Task
from bench.training.ranks import (
    require_different_samples,
    require_shares,
    require_whole_split,
    training_share,
    whole_split,
)
from tests.training.own_data import SHAPE, OwnData

NUM = 240


def split(num_classes: int = 3, *, noise_seed: int = 0) -> TensorDataset:
    """Labels of a fixed order, images of a noise of their own."""
    noise = torch.Generator().manual_seed(noise_seed)
    labels = torch.randint(num_classes, (NUM,), generator=torch.Generator().manual_seed(0))
    return TensorDataset(torch.rand(NUM, *SHAPE, generator=noise), labels)


def task() -> Task:
    data = OwnData()
    data.num_train_samples = NUM
    return make_task("classification", data)


def judge(loader_of_rank: Callable[[int], Any], batch_size: int = 8) -> None:
    shares = [training_share(task(), loader_of_rank(rank)) for rank in range(2)]
    require_different_samples(shares, NUM, batch_size)


def shared_out(dataset: Any, rank: int, share: int) -> Any:
    sampler: Any = DistributedSampler(dataset, num_replicas=2, rank=rank, seed=1)
    return DataLoader(dataset, share, sampler=sampler)


@pytest.mark.parametrize("num_classes", [1, 2, 3])
@pytest.mark.parametrize("share", [1, 4])
def test_ranks_that_share_the_samples_are_fine(num_classes: int, share: int) -> None:
    """Also where a batch of one or a single class makes labels equal by chance."""
    judge(lambda rank: shared_out(split(num_classes), rank, share), 2 * share)


def test_labels_in_a_pattern_are_no_sign_of_the_same_samples() -> None:
    labels = torch.arange(NUM) // 2 % 3  # both ranks have 0, 1, 2, 0, 1, 2
    images = torch.rand(NUM, *SHAPE)
    judge(lambda rank: DataLoader(TensorDataset(images[rank::2], labels[rank::2]), 4))


def test_ranks_that_each_take_a_whole_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="gave 8, 8 samples on 2 ranks, must give batch_size=8"):
        judge(lambda rank: DataLoader(split(), 8))


def test_ranks_with_the_same_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="gave the same samples on 2 ranks; share them out"):
        judge(lambda rank: DataLoader(split(), 4))


@pytest.mark.parametrize("share", [1, 4])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_ranks_that_change_the_same_samples_at_random_are_refused(
    share: int, num_classes: int
) -> None:
    with pytest.raises(ValueError, match="gave the same labels in the same order on 2 ranks, so"):
        judge(lambda rank: DataLoader(split(num_classes, noise_seed=rank), share), 2 * share)


def test_ranks_with_an_order_of_their_own_are_fine() -> None:
    def loader(rank: int) -> Any:
        order = torch.Generator().manual_seed(rank)
        return DataLoader(split(), 4, shuffle=True, generator=order)

    judge(loader)


def test_a_wrong_number_of_samples_is_refused() -> None:
    shares = [training_share(task(), shared_out(split(), rank, 4)) for rank in range(2)]
    with pytest.raises(ValueError, match="num_train_samples is 2400, but one pass of train_data"):
        require_different_samples(shares, 2400, 8)


def test_a_split_must_be_whole_on_every_rank() -> None:
    whole = whole_split(DataLoader(split(), 100))
    require_whole_split("val_dataloader", [whole, whole])
    halves = [whole_split(shared_out(split(), rank, 100)) for rank in range(2)]
    with pytest.raises(ValueError, match="data: val_dataloader gave 120, 120 samples on 2 ranks"):
        require_whole_split("val_dataloader", halves)


def test_looking_at_the_shares_leaves_the_order_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other rank has a share with the same sizes and other samples."""
    other = training_share(task(), DataLoader(split(noise_seed=5), 4, sampler=range(1, NUM)))

    def gather(found: list[Any], own: Any) -> None:
        found[:] = [own, own if isinstance(own, tuple) else other]

    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    orders = []
    for looks in (False, True):
        torch.manual_seed(0)
        shuffled = DataLoader(split(), 4, shuffle=True)
        if looks:
            require_shares(task(), lambda: shuffled, 8)  # noqa: B023
        orders.append([labels.tolist() for _, labels in shuffled])
    assert orders[0] == orders[1]
