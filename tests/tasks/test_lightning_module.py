"""What a user's LightningModule must have, and which part of a batch its forward takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from bench.tasks.lightning_module import (
    Forward,
    Inputs,
    forward_inputs,
    is_image,
    require_module,
    require_module_class,
    take_rows,
)

X, Z, Y = torch.ones(3, 2), torch.zeros(3, 4), torch.arange(3)


class One(pl.LightningModule):
    def forward(self, x: Tensor) -> Any:
        return x


class Two(pl.LightningModule):
    def forward(self, x: Tensor, z: Tensor, scale: float = 1.0) -> Any:
        return x, z


class Whole(pl.LightningModule):
    def forward(self, batch: dict[str, Tensor]) -> Any:
        return batch["x"]


class Optional(pl.LightningModule):
    """As models of transformers: it needs nothing, and has names for everything."""

    def forward(self, x: Tensor | None = None, mask: Tensor | None = None) -> Any:
        return x


@pytest.mark.parametrize(
    ("module", "batch", "expected"),
    [
        (One(), X, Inputs((X,), by_name=False)),
        (One(), (X, Y), Inputs((X,), by_name=False)),
        (One(), ({"x": X}, Y), Inputs({"x": X}, by_name=True)),
        (One(), {"x": X, "y": Y}, Inputs({"x": X}, by_name=True)),
        (Two(), [X, Z, Y], Inputs((X, Z), by_name=False)),
        (Two(), {"y": Y, "z": Z, "x": X}, Inputs({"x": X, "z": Z}, by_name=True)),
        (Whole(), {"x": X, "y": Y}, Inputs(({"x": X, "y": Y},), by_name=False)),
        (Optional(), {"x": X, "y": Y}, Inputs({"x": X}, by_name=True)),
    ],
)
def test_the_inputs_of_forward_are_found_in_a_batch(
    module: pl.LightningModule, batch: Any, expected: Inputs
) -> None:
    found = forward_inputs(module, batch)
    torch.testing.assert_close(found.tensors, expected.tensors)
    assert found.by_name == expected.by_name
    one = take_rows(found.tensors, torch.tensor([1]))
    assert Forward(module, by_name=found.by_name)(one) is not None


@pytest.mark.parametrize(("given", "by_name"), [(X, False), ((X,), False), ({"x": X}, True)])
def test_a_module_may_say_itself_what_its_forward_takes(given: Any, by_name: bool) -> None:
    module = One()
    module.example_input_array = given
    found = forward_inputs(module, {"other": Z})
    torch.testing.assert_close(found.tensors, {"x": X} if by_name else (X,))
    assert found.by_name == by_name


@pytest.mark.parametrize(
    ("module", "batch", "words"),
    [
        (pl.LightningModule(), X, "it has no forward of its own"),
        (One(), ("a", "b"), "its inputs are not tensors with a row for each example; set example_"),
        (Two(), (X, torch.zeros(2)), "not tensors with a row for each example"),
        (One(), (torch.tensor(1.0),), "not tensors with a row for each example"),
        (Two(), {"y": Y}, "not tensors with a row for each example"),
    ],
)
def test_inputs_that_cannot_be_found_have_a_reason(
    module: pl.LightningModule, batch: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        forward_inputs(module, batch)


def test_four_dimensions_are_images() -> None:
    assert is_image((torch.zeros(2, 1, 8, 8), Y))
    assert not is_image((X, Y))
    assert not is_image(["a"])


class OfTheOtherPackage:
    """As a class of the package lightning shows itself."""

    __module__ = "lightning.pytorch.core.module"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (OfTheOtherPackage, "of the package lightning; import it from pytorch_lightning"),
        (torch.nn.Linear, "must be a pytorch_lightning.LightningModule, is a Linear; for a plain"),
        (One, "it has no training_step; give the loss of a batch there, or optimize by hand"),
    ],
)
def test_a_class_that_lightning_could_not_train_is_refused(kind: type, words: str) -> None:
    with pytest.raises(ValueError, match=f"model._target_=mine.Net: .*{words}"):
        require_module_class(kind, "mine.Net")


def test_a_function_is_judged_by_what_it_gives() -> None:
    make: Callable[[], Any] = lambda: 1  # noqa: E731
    require_module_class(make, "mine.make")
    with pytest.raises(ValueError, match=r"model\._target_=mine\.make: must be .*, is a int"):
        require_module(make(), "mine.make")
