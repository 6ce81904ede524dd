"""What a training loader must give: one order, and the number of samples the data states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler

from bench.tasks.find_task import make_task
from bench.training.splits import pass_samples, require_same_order, require_size
from tests.training.own_data import SHAPE, OwnData


def _sample(label: int) -> tuple[torch.Tensor, int]:
    return torch.zeros(SHAPE), label


class Stream(IterableDataset[Any]):
    """Samples that can be read once."""

    def __init__(self) -> None:
        self.samples = (_sample(number // 4 % 3) for number in range(1000))

    def __iter__(self) -> Iterator[Any]:
        return self.samples


class Noisy(Dataset[Any]):
    """Samples with noise that nothing can repeat."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        image, label = _sample(index % 3)
        return image + torch.rand(SHAPE, generator=_entropy()), label


def _entropy() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator


class Given(OwnData):
    """Data that keeps its training loader."""

    def __init__(self, loader: Any) -> None:
        super().__init__()
        self.loader_kept = loader

    def train_dataloader(self) -> Any:
        return self.loader_kept


def test_a_stream_that_can_be_read_once_is_refused() -> None:
    data = Given(DataLoader(Stream(), 4))
    with pytest.raises(ValueError, match="gave other samples when it was asked again, so what"):
        require_same_order(make_task("classification", data))


def test_an_order_that_can_be_put_back_is_fine() -> None:
    samples = [_sample(number % 3) for number in range(96)]
    draws = torch.Generator().manual_seed(0)
    data = Given(DataLoader(samples, 4, sampler=RandomSampler(samples, generator=draws)))  # type: ignore[arg-type]
    expected = draws.get_state()
    require_same_order(make_task("classification", data))
    assert torch.equal(draws.get_state(), expected)


def test_images_that_change_at_random_are_fine() -> None:
    require_same_order(make_task("classification", Given(DataLoader(Noisy(), 4))))


@pytest.mark.parametrize(
    ("num_train_samples", "passes"),
    [
        (1077, [1072]),  # 67 full batches of 16
        (1077, [1088]),  # and one that is not full
        (1077, [536, 536]),  # shared by two ranks
        (1077, [1072, 1072]),  # each goes through all of it
        (10_770, [None]),  # a stream without a length
        (10_770, [536, None]),
    ],
)
def test_a_number_of_samples_that_fits_the_loader(
    num_train_samples: int, passes: list[int | None]
) -> None:
    require_size(num_train_samples, passes, 16)


@pytest.mark.parametrize(
    ("num_train_samples", "passes"), [(10_770, [1072]), (1077, [536]), (1077, [268, 268])]
)
def test_a_number_of_samples_that_is_wrong_is_refused(
    num_train_samples: int, passes: list[int | None]
) -> None:
    words = f"num_train_samples is {num_train_samples}, but one pass of train_dataloader gives"
    with pytest.raises(ValueError, match=words):
        require_size(num_train_samples, passes, 16)


def test_the_length_of_a_pass_is_known_from_the_loader() -> None:
    assert pass_samples(DataLoader(range(10), 4), 4) == 12  # type: ignore[arg-type]
    assert pass_samples(DataLoader(Stream(), 4), 4) is None
    assert pass_samples(iter(()), 4) is None
