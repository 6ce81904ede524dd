"""A module that changes in every way that a forward pass may change it, and is put back."""

from __future__ import annotations

import random
import threading
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bench.tasks.neutral import evaluating, unchanged


class Restless(nn.Module):
    """Changes at each call whatever a module may keep."""

    running: Tensor
    hidden: Tensor
    replaced: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(2)
        self.frozen = nn.Dropout().eval()
        self.register_buffer("running", torch.zeros(2))
        self.register_buffer("hidden", torch.zeros(2), persistent=False)
        self.register_buffer("replaced", torch.zeros(2))
        self.scale = torch.ones(2)  # neither a buffer nor a parameter
        self.num_calls = 0
        self.seen: list[int] = []
        self.counts = Counter({"calls": 0})
        self.own = torch.Generator().manual_seed(1)
        self.draws = np.random.default_rng(1)
        self.lock = threading.Lock()  # cannot be copied
        self.alias = [self.linear]

    def forward(self, x: Tensor) -> Tensor:
        self.running += 1
        self.hidden += 1
        self.replaced = self.replaced + 1
        self.scale *= 2
        self.num_calls += 1
        self.seen.append(self.num_calls)
        self.counts["calls"] += 1
        self.new_attribute = x.detach()
        noise = torch.rand(2, generator=self.own) + float(self.draws.random())
        y: Tensor = self.norm(self.alias[0](x)) + noise + random.random() + torch.rand(1)
        return y + float(np.random.rand())

    def get_extra_state(self) -> dict[str, object]:
        return {"no": "tensor"}


def kept(module: Restless) -> list[object]:
    tensors = [*module.parameters(), *module.buffers(), module.scale]
    modes = [part.training for part in module.modules()]
    plain = [module.num_calls, list(module.seen), dict(module.counts), sorted(vars(module)), modes]
    return [*(tensor.tolist() for tensor in tensors), *plain]


def answer(module: Restless) -> list[list[float]]:
    """What the module answers next: it depends on all that it keeps and on every random state."""
    values: list[list[float]] = module(torch.ones(3, 2)).tolist()
    return values


def test_all_that_a_module_keeps_is_as_it_was() -> None:
    module = Restless()
    before = kept(module)
    tensors = list(module.parameters()), module.running, module.scale
    with unchanged([module]):
        for _ in range(3):
            module(torch.randn(4, 2)).sum().backward()
        with torch.no_grad():
            module.linear.weight.zero_()
        module.eval()
    assert kept(module) == before
    assert all(parameter.grad is None for parameter in module.parameters())
    # The same objects: what was compiled for them holds.
    assert all(a is b for a, b in zip(module.parameters(), tensors[0], strict=True))
    assert module.running is tensors[1]
    assert module.scale is tensors[2]
    assert module.alias[0] is module.linear


def test_what_follows_is_the_same_as_without_it() -> None:
    """Two modules of one seed, one of which was used in between, go on alike."""
    answers = []
    for used in (False, True):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        module = Restless()
        if used:
            with unchanged([module]):
                answer(module)
                answer(module)
        answers.append([answer(module), answer(module)])
    assert answers[0] == answers[1]


def test_an_error_inside_leaves_the_module_as_it_was() -> None:
    module = Restless()
    before = kept(module)

    def use_and_break() -> None:
        module(torch.randn(4, 2))
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"), unchanged([module]):
        use_and_break()
    assert kept(module) == before


class Data:
    """A data module that keeps its generators and one of its loaders."""

    def __init__(self) -> None:
        self.order = torch.Generator().manual_seed(3)
        self.numbers = np.random.default_rng(3)
        self.cards = random.Random(3)
        samples = TensorDataset(torch.arange(8.0))
        own = torch.Generator().manual_seed(4)
        self.loader = DataLoader(samples, 2, shuffle=True, generator=own)

    def draw(self) -> list[object]:
        batches = [batch.tolist() for (batch,) in self.loader]
        return [torch.rand(1, generator=self.order).item(), self.numbers.random(), batches]


def test_the_generators_that_data_keeps_go_on_as_without_it() -> None:
    expected = Data().draw()
    data = Data()
    with unchanged([], data):
        data.draw()
        data.cards.shuffle([1, 2, 3])
    assert data.draw() == expected
    assert data.cards.random() == random.Random(3).random()


def test_evaluation_mode_leaves_frozen_parts_in_it() -> None:
    module = Restless()
    with evaluating(module):
        assert not any(part.training for part in module.modules())
    assert module.training
    assert module.norm.training
    assert not module.frozen.training
