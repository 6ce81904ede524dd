"""What the LightningModule collects between evaluations."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from bench.tasks.evaluation import classification_quality
from bench.tasks.find_task import make_task
from bench.tasks.loaders import Batch
from bench.tasks.schedules import constant
from bench.tasks.task_module import TaskModule

TASK = make_task(
    "classification",
    SimpleNamespace(input_shape=(2, 1, 1), num_classes=2, num_train_samples=4),
)


@pytest.fixture
def module() -> TaskModule:
    """A network that gives its inputs back: images of shape (n, 2, 1, 1) are logits."""
    optimizer = partial(torch.optim.SGD, lr=0.1)
    schedule = partial(constant, lr=0.1, total_steps=1)
    return TaskModule(nn.Flatten(), TASK, optimizer, schedule, channels_last=False)


def batch(logits: list[list[float]]) -> Batch:
    images = torch.tensor(logits, dtype=torch.float32)[:, :, None, None]
    return images, torch.zeros(len(logits), dtype=torch.long)


def train(module: TaskModule, one: Batch) -> None:
    """A step as Lightning makes it; its optimization loop hands on a detached copy of the loss."""
    loss = module.training_step(one, 0)
    module.on_train_batch_end({"loss": loss.detach().clone()}, one, 0)


def test_the_training_loss_is_the_mean_over_the_steps_since_it_was_last_taken(
    module: TaskModule,
) -> None:
    assert module.train_loss.take_mean() is None
    # Equal logits have a loss of log 2; logits of log 3 and 0 give class 0 a probability of 3/4.
    train(module, batch([[0, 0]]))
    train(module, batch([[math.log(3), 0]]))
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert module.train_loss.take_mean() == pytest.approx(expected)
    assert module.train_loss.take_mean() is None


def test_a_loss_that_was_nan_once_shows(module: TaskModule) -> None:
    for logit in (0.0, math.nan, 0.0):
        train(module, batch([[logit, 0]]))
    loss = module.train_loss.take_mean()
    assert loss is not None
    assert math.isnan(loss)


def test_validation_quality_is_over_samples_not_over_batches(module: TaskModule) -> None:
    batches = [batch([[1, 0], [2, 0], [0, 1]]), batch([[0, 3]])]
    module.on_validation_epoch_start()
    for index, one in enumerate(batches):
        module.validation_step(one, index)
    images, labels = (torch.cat(part) for part in zip(*batches, strict=True))
    values = module.take_validation_quality()
    assert values == classification_quality(images.flatten(1), labels)
    assert values["accuracy"] == 2 / 4  # the mean of the batches would be 1/3


def test_an_evaluation_forgets_the_one_before(module: TaskModule) -> None:
    module.on_validation_epoch_start()
    module.validation_step(batch([[0, 1]]), 0)
    module.on_validation_epoch_start()
    module.validation_step(batch([[1, 0]]), 0)
    assert module.take_validation_quality()["accuracy"] == 1


def test_an_empty_validation_split_is_refused(module: TaskModule) -> None:
    module.on_validation_epoch_start()
    with pytest.raises(ValueError, match="gave no batch"):
        module.take_validation_quality()


class Rounded(nn.Module):
    """Gives its inputs back, and keeps the types that it meets."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.types: set[torch.dtype] = set()

    def forward(self, inputs: Tensor) -> Tensor:
        self.types |= {inputs.dtype, self.weight.dtype, torch.zeros(1).dtype}
        return inputs.flatten(1) + self.weight


def test_a_module_computes_in_its_type_and_its_loss_in_float32() -> None:
    """1.00390625 is 1 + 2^-8, which bfloat16 with its 8 bits rounds to the even 1."""
    optimizer = partial(torch.optim.SGD, lr=0.1)
    schedule = partial(constant, lr=0.1, total_steps=1)
    network = Rounded()
    module = TaskModule(network, TASK, optimizer, schedule, False, torch.bfloat16)
    inputs, targets = batch([[1 + 2**-8, 0.0]])
    outputs = module(inputs)
    assert network.types == {torch.bfloat16}
    assert outputs.dtype == torch.float32
    assert outputs.tolist() == [[1.0, 0.0]]
    assert module.training_step((inputs, targets), 0).dtype == torch.float32
    assert torch.get_default_dtype() == torch.float32
    tokens = torch.ones(1, dtype=torch.int64)
    assert module.as_input(tokens) is tokens


def test_an_evaluation_keeps_outputs_that_the_next_call_overwrites(module: TaskModule) -> None:
    """As with CUDA graphs, whose outputs are in the same memory each time; there are none here."""
    memory = torch.zeros(1, 2)

    class Graph(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return memory.copy_(inputs.flatten(1))

    module.network = Graph()
    first, second = (batch([[1.0, 0.0]])[0], batch([[0.0, 1.0]])[0])
    with torch.no_grad():
        kept = module(first)
        module(second)
        assert kept.tolist() == [[0.0, 1.0]]
        module.reuses_outputs = True
        kept = module(first)
        module(second)
    assert kept.tolist() == [[1.0, 0.0]]
