"""A user's own LightningModule: what it must have, and how its forward is called on a batch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from inspect import Parameter
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map
from typing_extensions import override

# Loaders that the data of such a module may do without.
OPTIONAL_LOADERS = ("test_dataloader",)
_METHODS = {
    "training_step": "give the loss of a batch there, or optimize by hand",
    "validation_step": "log the metric of the target there",
    "configure_optimizers": "make the optimizer there, or return None",
}
_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def require_module_class(kind: Any, target: str) -> None:
    """Refuse a class that Lightning could not train and evaluate.

    Args:
        kind: The class or function that the configuration's `_target_` names.
        target: The `_target_`.

    Raises:
        ValueError: It is not a LightningModule, or lacks a method; the message names it.
    """
    if not isinstance(kind, type):  # a function only shows its module when it is called
        return
    if not issubclass(kind, pl.LightningModule):
        raise ValueError(f"model._target_={target}: {_wrong_class(kind)}")
    for name, remedy in _METHODS.items():
        if getattr(kind, name) is getattr(pl.LightningModule, name):
            raise ValueError(f"model._target_={target}: it has no {name}; {remedy}")


def require_module(module: Any, target: str) -> pl.LightningModule:
    """Refuse an object that is not a LightningModule.

    Args:
        module: What the configuration's `_target_` returned.
        target: The `_target_`.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(module, pl.LightningModule):
        raise ValueError(f"model._target_={target}: {_wrong_class(type(module))}")
    require_module_class(type(module), target)
    return module


def _wrong_class(kind: type) -> str:
    # Both packages have classes of the same names, and a trainer of one refuses those of the other.
    if any(base.__module__.startswith("lightning.") for base in kind.__mro__):
        return "a LightningModule of the package lightning; import it from pytorch_lightning"
    return (
        f"must be a pytorch_lightning.LightningModule, is a {kind.__name__}; for a plain "
        "torch.nn.Module choose another task"
    )


class Inputs(NamedTuple):
    """Inputs of a module's forward, of several examples.

    Attributes:
        tensors: Tensors of shape (n, ...) in tuples, lists and dicts.
        by_name: Whether they are keyword arguments; otherwise a tuple of positional ones.
    """

    tensors: Any
    by_name: bool


def is_image(batch: Any) -> bool:
    """Whether the first tensor of a batch has the shape of images (n, c, h, w)."""
    first = next((leaf for leaf in tree_leaves(batch) if isinstance(leaf, Tensor)), None)
    return first is not None and first.ndim == 4


def forward_inputs(module: pl.LightningModule, batch: Any) -> Inputs:
    """Take the inputs of a module's forward out of a batch.

    A module that says so itself, by Lightning's example_input_array, is followed. Else a tuple or
    list gives its first members, as many as forward requires; a dict, as a batch or as the first
    member, gives the values that forward names.

    Args:
        module: The module.
        batch: A batch, on any device.

    Raises:
        ValueError: The module has no forward, or the batch does not show its inputs.
    """
    if not is_overridden("forward", module):
        raise ValueError("it has no forward of its own")
    example = module.example_input_array
    if example is None:
        inputs = _from_batch(batch, _required(module))
    elif isinstance(example, Mapping):
        inputs = Inputs(dict(example), by_name=True)
    else:
        members = tuple(example) if isinstance(example, tuple | list) else (example,)
        inputs = Inputs(members, by_name=False)
    leaves = tree_leaves(inputs.tensors)
    rows = {len(leaf) for leaf in leaves if isinstance(leaf, Tensor) and leaf.ndim}
    if len(rows) != 1 or not all(isinstance(leaf, Tensor) and leaf.ndim for leaf in leaves):
        raise ValueError(
            "its inputs are not tensors with a row for each example; set example_input_array to "
            "what its forward takes"
        )
    return inputs


def _required(module: pl.LightningModule) -> list[Parameter]:
    """The parameters that forward needs; all that it has names for if it needs none."""
    parameters = inspect.signature(module.forward).parameters.values()
    named = [each for each in parameters if each.kind in (*_POSITIONAL, Parameter.KEYWORD_ONLY)]
    return [each for each in named if each.default is Parameter.empty] or named


def _from_batch(batch: Any, required: Sequence[Parameter]) -> Inputs:
    if isinstance(batch, Mapping):
        names = [each.name for each in required if each.name in batch]
        takes_all = len(required) == 1 and not names
        if takes_all:
            return Inputs((dict(batch),), by_name=False)
        return Inputs({name: batch[name] for name in names}, by_name=True)
    if isinstance(batch, tuple | list) and batch:
        if isinstance(batch[0], Mapping):
            return _from_batch(batch[0], required)
        return Inputs(tuple(batch[: max(1, len(required))]), by_name=False)
    return Inputs((batch,), by_name=False)


def take_rows(tensors: Any, rows: Tensor) -> Any:
    """Select examples from tensors of shape (n, ...) in tuples, lists and dicts."""
    return tree_map(lambda tensor: tensor[rows.to(tensor.device)], tensors)


def num_rows(tensors: Any) -> int:
    """The number of examples in tensors of shape (n, ...) in tuples, lists and dicts."""
    return len(tree_flatten(tensors)[0][0])


class Forward(torch.nn.Module):
    """Calls a module's forward on inputs as forward_inputs() gives them."""

    def __init__(self, module: pl.LightningModule, *, by_name: bool) -> None:
        """Take the module.

        Args:
            module: The module, which is used as it is.
            by_name: Whether inputs are keyword arguments.
        """
        super().__init__()
        self.module = module
        self._by_name = by_name

    @override
    def forward(self, inputs: Any) -> Any:
        """What the module's forward gives."""
        return self.module(**inputs) if self._by_name else self.module(*inputs)
