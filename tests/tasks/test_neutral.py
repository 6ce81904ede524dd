"""Modules and data that change in every possible way when they are used are restored."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, TensorDataset

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


class Count:
    """State that two parts of a model share."""

    __slots__ = ("num",)

    def __init__(self) -> None:
        self.num = 0


class Shares(nn.Module):
    """Counts and draws from what it shares with others."""

    calls = 0
    latest: Tensor | None = None

    def __init__(self, count: Count, draws: np.random.Generator) -> None:
        super().__init__()
        self.count, self.draws = count, [draws]
        self.numbers = itertools.count()

    def forward(self, x: Tensor) -> Tensor:
        self.count.num += 1
        type(self).calls += 1
        type(self).latest = x
        return x + float(self.draws[0].normal()) + next(self.numbers)


def test_what_two_parts_share_stays_shared() -> None:
    parts, others = (
        [Shares(count, draws) for _ in range(2)]
        for count, draws in ((Count(), np.random.default_rng(0)) for _ in range(2))
    )
    model = nn.Sequential(*parts)
    expected = nn.Sequential(*others)(torch.zeros(1))
    Shares.calls, Shares.latest = 0, None
    count, draws = parts[0].count, parts[0].draws[0]
    with unchanged([model]):
        model(torch.zeros(1))
    assert count.num == Shares.calls == 0
    assert Shares.latest is None
    assert all(part.count is count and part.draws[0] is draws for part in parts)
    assert torch.equal(model(torch.zeros(1)), expected)


class Odd(nn.Module):
    """Keeps tensors that take no plain copy."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = torch.ones(1).expand(4)  # cannot be written
        self.sparse = torch.eye(2).to_sparse()
        self.weight = nn.Parameter(torch.tensor([1.0, float("nan")]))
        self.array = np.ones(2)
        with torch.inference_mode():
            self.fixed = torch.ones(2)


def test_tensors_of_all_kinds_are_put_back() -> None:
    module = Odd()
    with unchanged([module]):
        module.sparse.mul_(2)
        module.weight.requires_grad_(False).add_(1)
        module.array += 1
    assert torch.equal(module.sparse.to_dense(), torch.eye(2))
    assert module.weight.requires_grad
    assert module.weight[0] == 1
    assert module.array.tolist() == [1, 1]


class Augmented(Dataset[float]):
    """Draws from generators of its own, and keeps an order that it shuffles in place."""

    def __init__(self) -> None:
        self.draws = {"noise": [np.random.default_rng(0)]}
        self.cards = random.Random(0)
        self.old = np.random.RandomState(0)
        self.order = np.arange(8)
        self.num_passes = 0

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> float:
        if index == 0:
            self.num_passes += 1
            self.old.shuffle(self.order)
        noise = self.draws["noise"][0].normal() + self.cards.random()
        return float(self.order[index] + noise)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Loaders:
    """A data module that keeps samplers and loaders wherever one may."""

    opened: Opened

    def __init__(self) -> None:
        self.dataset = Augmented()
        self.sampler = RandomSampler(range(8), generator=generator(1))
        batches = BatchSampler(RandomSampler(range(8), generator=generator(2)), 2, drop_last=False)
        self.loaders = {
            "own": [DataLoader(self.dataset, 2, shuffle=True, generator=generator(3))],
            "batches": [DataLoader(self.dataset, batch_sampler=batches)],
        }
        self.stream = iter(list(range(8)))

    def draw(self) -> list[object]:
        drawn = [batch.tolist() for one in self.loaders.values() for batch in one[0]]
        return [list(self.sampler), drawn, next(self.stream), self.dataset.num_passes]


def test_what_data_gives_is_the_same_as_without_it() -> None:
    expected = Loaders().draw()
    data = Loaders()
    with unchanged([], data):
        data.draw()
        data.draw()
    assert data.draw() == expected


def test_samples_are_neither_copied_nor_written() -> None:
    """Tensors of one dimension are put back, such as labels; images are not."""
    data = TensorDataset(torch.zeros(4, 2), torch.zeros(4))
    with unchanged([], data):
        for tensor in data.tensors:
            tensor.add_(1)
    assert data.tensors[0].sum() == 8
    assert data.tensors[1].sum() == 0


class Opened:
    """Of a library: its attributes belong to a file that has moved on."""

    def __init__(self) -> None:
        self.draws = np.random.default_rng(0)
        self.position = 0


def test_of_objects_of_libraries_only_generators_are_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Opened, "__module__", "numpy")
    data = Loaders()
    data.opened = Opened()
    with unchanged([], data):
        data.opened.draws.normal()
        data.opened.position = 5
    assert data.opened.position == 5
    assert data.opened.draws.normal() == np.random.default_rng(0).normal()
