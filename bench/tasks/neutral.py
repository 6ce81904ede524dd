"""Contexts that leave a module as it was, whatever is done with it meanwhile."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.utils.data import DataLoader

# What nn.Module itself keeps in every part: tables of tensors and parts, which are put back apart,
# and hooks, whose handles must go on working. The mode is a value like a user's own.
_OF_EVERY_PART = frozenset(vars(nn.Module())) - {"training"} | {"_compiled_call_impl"}
_TABLES = ("_parameters", "_buffers", "_modules")


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for the body; parts that were frozen in it stay so afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def unchanged(modules: Sequence[nn.Module], data: object = None) -> Iterator[None]:
    """Put modules and all random states back as they were.

    That is every weight and buffer, persistent or not, the mode of each part, and whatever else a
    part keeps: counters, lists, caches, generators. Tensors stay the same objects, so that what was
    compiled for them holds. What cannot be copied (a lock, an open file) is left as it is.

    Args:
        modules: Are put back.
        data: An object whose random generators, and those of its loaders, are put back too.
    """
    on_cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    random_states = isolate_rng(include_cuda=on_cuda)
    restores = [_Snapshot(module).restore for module in modules]
    restores += _generators(data)
    with random_states:
        try:
            yield
        finally:
            for restore in restores:
                restore()


def _generators(data: object) -> list[Callable[[], Any]]:
    """What puts the generators back that an object keeps."""
    kept = list(getattr(data, "__dict__", {}).values())
    kept += [loader.generator for loader in kept if isinstance(loader, DataLoader)]
    return [restore for value in kept if (restore := _restore_of(value)) is not None]


def _restore_of(value: Any) -> Callable[[], Any] | None:
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: value.set_state(state)
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator.state
        return lambda: setattr(value.bit_generator, "state", bits)
    if isinstance(value, random.Random):
        version = value.getstate()
        return lambda: value.setstate(version)
    return None


class _Snapshot:
    """What a module keeps, part by part."""

    def __init__(self, module: nn.Module) -> None:
        parts = list(module.modules())
        tensors = [*module.parameters(), *module.buffers()]
        # Attributes may refer to parts and weights: a copy of one refers to the same ones.
        shared = {id(one): one for one in (*parts, *tensors)}
        self._module = module
        self._tables = [
            (part, {name: dict(vars(part)[name]) for name in _TABLES}) for part in parts
        ]
        self._tensors = [(tensor, tensor.detach().clone()) for tensor in tensors]
        self._attributes = [(part, _attributes(part, shared)) for part in parts]

    def restore(self) -> None:
        """Put everything back."""
        for part, tables in self._tables:
            for name, table in tables.items():
                kept = vars(part)[name]
                kept.clear()
                kept.update(table)
        with torch.no_grad():
            for tensor, before in self._tensors:
                _set(tensor, before)
        self._module.zero_grad(set_to_none=True)
        for part, attributes in self._attributes:
            for name in vars(part).keys() - attributes.keys() - _OF_EVERY_PART:
                delattr(part, name)
            for name, (original, before) in attributes.items():
                vars(part)[name] = _restored(original, before)


def _attributes(part: nn.Module, shared: dict[int, Any]) -> dict[str, tuple[Any, Any]]:
    """What the user's code keeps in a part: each object, and a copy of it."""
    return {
        name: (value, _copied(value, shared))
        for name, value in vars(part).items()
        if name not in _OF_EVERY_PART
    }


def _copied(value: Any, shared: dict[int, Any]) -> Any:
    if isinstance(value, torch.Generator):
        return value.get_state()
    if isinstance(value, Tensor):
        return value.detach().clone()
    try:
        return copy.deepcopy(value, dict(shared))
    except Exception:  # whatever an object of the user's raises when it cannot be copied
        return value


def _restored(original: Any, before: Any) -> Any:
    """The object itself, put back, where that is possible; else the copy."""
    if isinstance(original, torch.Generator):
        original.set_state(before)
        return original
    if isinstance(original, Tensor):
        with torch.no_grad():
            _set(original, before)
        return original
    return original if _is_equal(original, before) else before


def _set(tensor: Tensor, before: Tensor) -> None:
    if tensor.shape == before.shape:
        tensor.copy_(before)
    else:
        tensor.data = before


def _is_equal(value: Any, other: Any) -> bool:
    try:
        return bool(value == other)
    except Exception:  # arrays and objects whose comparison is no truth value
        return False
