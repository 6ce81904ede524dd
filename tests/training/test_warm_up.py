"""The warm-up leaves no trace, and covers the shapes that occur on the clock."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.config.train import BudgetConfig, TrainConfig
from bench.config.trainer import TrainerConfig
from bench.core.target import TargetConfig
from bench.tasks.find_task import make_task
from bench.tasks.task_module import TaskModule
from bench.training.warm_up import prepare
from tests.training.own_data import BATCH_SIZE, InPlace, OwnData


class Watched(nn.Module):
    """Batch norm and dropout; tells a list outside of it what it was called with."""

    def __init__(self, calls: list[tuple[bool, Tensor]]) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Sequential(nn.Dropout(), nn.Linear(4, 3))
        self.forward_calls = 0
        self.register_forward_pre_hook(
            lambda module, given: calls.append((module.training, given[0].clone()))
        )

    def forward(self, images: Tensor) -> Any:
        self.forward_calls += 1
        return self.head(self.norm(images.flatten(1)))


def _no_schedule(optimizer: object) -> None:
    """A constant learning rate."""


def config(num_warmup_steps: int, *, compile: bool = False) -> TrainConfig:
    return TrainConfig(
        batch_size=BATCH_SIZE,
        target=TargetConfig(value=0.9, eval_every_samples=4),
        budget=BudgetConfig(max_epochs=1),
        trainer=TrainerConfig(num_warmup_steps=num_warmup_steps, compile=compile),
    )


def module_of(network: nn.Module, data: OwnData | None = None) -> TaskModule:
    task = make_task("classification", data or OwnData())
    optimizer = partial(torch.optim.SGD, lr=0.1)
    return TaskModule(network, task, optimizer, _no_schedule, channels_last=False)


def warmed_up(network: nn.Module, data: OwnData, num_steps: int) -> TaskModule:
    module = module_of(network, data)
    device = torch.device("cpu")
    prepare(module, config(num_steps), device=device, precision=nullcontext)
    return module


class Uneven(OwnData):
    """Ten training images: the loader keeps a last batch of two."""

    num_train_samples = 10

    def __init__(self) -> None:
        super().__init__()
        images, labels = self.splits["train"]
        self.splits["train"] = images[:10], labels[:10]


def test_training_goes_on_as_without_a_warm_up() -> None:
    """The loss of the first step, which depends on weights, statistics and random states."""
    losses = []
    for num_steps in (0, 3):
        torch.manual_seed(0)
        network = Watched([])
        module = warmed_up(network, OwnData(), num_steps)
        images, labels = next(iter(OwnData().train_dataloader()))
        losses.append(module.training_step((images, labels), 0).item())
        assert network.forward_calls == 1
        assert network.norm.num_batches_tracked == 1  # of the step just made
    assert losses[0] == losses[1]


def test_every_shape_that_comes_on_the_clock_has_come_before_it() -> None:
    calls: list[tuple[bool, Tensor]] = []
    warmed_up(Watched(calls), Uneven(), 1)
    trained = {len(images) for training, images in calls if training}
    evaluated = {len(images) for training, images in calls if not training}
    assert trained == {4, 2}  # the full batch, and the smaller last one
    assert evaluated == {3, 2}  # five validation images, three at a time


def test_warm_up_steps_are_made_on_samples_of_the_training_split() -> None:
    calls: list[tuple[bool, Tensor]] = []
    data = Uneven()
    warmed_up(Watched(calls), data, 2)
    known = {image.numpy().tobytes() for image in data.splits["train"][0]}
    seen = [image.numpy().tobytes() for training, batch in calls if training for image in batch]
    assert seen
    assert known.issuperset(seen)


def test_a_part_that_is_frozen_stays_so() -> None:
    network = Watched([])
    network.norm.eval()
    warmed_up(network, OwnData(), 1)
    assert network.training
    assert not network.norm.training
    assert network.norm.num_batches_tracked == 0


def test_a_model_that_writes_into_its_input_leaves_the_data_alone() -> None:
    data = OwnData()
    before = data.splits["train"][0].clone()
    warmed_up(InPlace(), data, 2)
    assert torch.equal(data.splits["train"][0], before)


def test_a_model_that_is_not_compiled_though_it_should_be_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.training.warm_up.num_compiled_graphs", lambda: 0)
    module, device = module_of(Watched([])), torch.device("cpu")
    with pytest.raises(ValueError, match=r"trainer\.compile=true: torch\.compile compiled nothing"):
        prepare(module, config(1, compile=True), device=device, precision=nullcontext)
