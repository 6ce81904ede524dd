"""Keeps the state of objects and of everything they refer to, and puts it back in place.

Each object stays the same object, and only its content is put back. So what two parts of a model
share stays shared, and code that was compiled for a tensor or a list stays valid.
"""

from __future__ import annotations

import copy
import itertools
import random
import sys
import sysconfig
from argparse import Namespace
from collections import OrderedDict, UserDict, UserList, deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from types import FunctionType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

Restore = Callable[[], Any]

_PLAIN = (str, bytes, int, float, complex, type(None), np.generic, torch.dtype, torch.device)
# A trainer refers to all of Lightning and to the meters, which keep working in the meantime.
_SKIPPED = (*_PLAIN, FunctionType, ModuleType, pl.Trainer, random.SystemRandom)
# How each kind of container is filled. A subclass is emptied and filled by the methods of its base,
# because its own may do more. OrderedDict comes first: methods of dict would break its order.
_FILL: dict[Any, Any] = {
    OrderedDict: OrderedDict.update,
    dict: dict.update,
    list: list.extend,
    deque: deque.extend,
    set: set.update,
}
_CONTAINERS = (*_FILL, tuple, frozenset, partial)
# These classes come from libraries, but their attributes are the user's.
_USER_BASES = (
    *(nn.Module, pl.LightningDataModule, Dataset, Sampler, DataLoader),
    *(SimpleNamespace, Namespace, UserDict, UserList),
)
# These know their position and nothing else, so a copy continues where the original was.
_ITERATORS: tuple[type, ...] = (
    itertools.count,
    type(iter([])),
    type(iter(())),
    type(iter(range(0))),
)
_LIBRARIES = tuple(
    sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_ARRAYS = (Tensor, np.ndarray)
_GENERATORS = (
    *(torch.Generator, random.Random),
    *(np.random.Generator, np.random.BitGenerator, np.random.RandomState),
)
_MAX_DATA_BYTES = 2**28


class Snapshot:
    """The state of modules and of data.

    It keeps all tensors and arrays of the modules. Of the data it keeps only those of at most one
    dimension, such as an order or labels, up to 256 MiB: samples are only read, and may fill the
    memory.

    Objects of the user's own classes, modules, data sets, samplers and loaders are kept with their
    attributes and those of their classes. Of other library objects only random generators are
    kept: an attribute may refer to a file or a thread that has moved on.
    """

    def __init__(self, modules: Iterable[nn.Module], data: object = None) -> None:
        """Keep the present state."""
        self._modules = list(modules)
        # Objects are held as well as their ids, so that no new object gets the id of a dead one.
        self._seen: dict[int, Any] = {}
        self._copies: dict[int, Any] = {}
        self._restores: list[Restore] = []
        self._remaining_bytes = _MAX_DATA_BYTES
        for module in self._modules:
            # Scripted modules keep their tensors outside of Python's attributes.
            tensors = (*module.parameters(), *module.buffers())
            self._walk([*module.modules(), *tensors], lambda array: True)
        self._walk([data], self._is_small)

    def restore(self) -> None:
        """Put everything back; gradients of the modules become None."""
        for restore in self._restores:
            restore()
        for module in self._modules:
            module.zero_grad(set_to_none=True)

    def _walk(self, roots: Iterable[Any], keeps_array: Callable[[Any], bool]) -> None:
        """Keep all objects that can be reached, those of the user first.

        An object that both the user and a library refer to is then met as the user's, and kept.
        """
        pending = deque((root, True) for root in roots)
        while pending:
            value, is_users = pending.pop()
            if isinstance(value, _SKIPPED) or id(value) in self._seen:
                continue
            is_users = _is_users(value, owner_is=is_users)
            add = pending.extend if is_users else pending.extendleft
            if type(value) is tuple:  # a data set may list a million of them: no entry for each
                add((other, is_users) for other in value if not isinstance(other, _PLAIN))
                continue
            self._seen[id(value)] = value
            if isinstance(value, _GENERATORS):
                self._restores.append(_generator_restore(value))
            elif not isinstance(value, _ARRAYS):
                if is_users:
                    self._keep_content(value)
                add((other, is_users) for other in _references(value))
            elif is_users and keeps_array(value):
                self._restores.append(_array_restore(value))

    def _is_small(self, array: Any) -> bool:
        if array.ndim > 1 or isinstance(array, np.memmap) or array.nbytes > self._remaining_bytes:
            return False
        self._remaining_bytes -= array.nbytes
        return True

    def _keep_content(self, value: Any) -> None:
        """Keep which objects an object refers to, as members and as attributes."""
        if isinstance(value, tuple(_FILL)):
            members = _members(value)
            self._replace_iterators(members, enumerate(members))
            self._restores.append(partial(_refill, value, members))
        attributes = _attributes(value)
        self._replace_iterators(attributes, attributes.items())
        self._restores.append(partial(_restore_attributes, value, attributes))

    def _replace_iterators(self, kept: Any, items: Iterable[tuple[Any, Any]]) -> None:
        """Keep a copy of each iterator, because it cannot be put back; one copy for all uses."""
        for place, value in items:
            if isinstance(value, _ITERATORS):
                self._seen[id(value)] = value
                kept[place] = self._copies.setdefault(id(value), copy.copy(value))


def _is_users(value: Any, *, owner_is: bool) -> bool:
    """Whether an object is the user's. A container or an array belongs to whatever refers to it."""
    if isinstance(value, (*_CONTAINERS, *_ARRAYS)):
        return owner_is
    kind: Any = value if isinstance(value, type) else type(value)
    return issubclass(kind, _USER_BASES) or not _is_from_library(kind)


@cache
def _is_from_library(kind: type) -> bool:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return kind.__module__ == "builtins" or (file or "").startswith(_LIBRARIES)


def _references(value: Any) -> Iterator[Any]:
    """The objects that an object refers to; the keys of dicts are left out."""
    if isinstance(value, dict):
        yield from _members(value)[1::2]
    elif isinstance(value, Iterable) and isinstance(value, _CONTAINERS):
        yield from value
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield value.__self__
    yield from _attributes(value).values()
    if not isinstance(value, type):
        yield from (kind for kind in type(value).__mro__ if not _is_from_library(kind))


def _container_kind(value: Any) -> Any:
    return next(kind for kind in _FILL if isinstance(value, kind))


def _members(value: Any) -> list[Any]:
    """The members of a container; of a dict each key, followed by its value."""
    if isinstance(value, dict):
        return list(itertools.chain.from_iterable(_container_kind(value).items(value)))
    return list(value)


def _refill(value: Any, before: list[Any]) -> None:
    """Put the members of a container back, unless they are still the same objects."""
    if list(map(id, _members(value))) != list(map(id, before)):
        kind = _container_kind(value)
        is_dict = isinstance(value, dict)
        kind.clear(value)
        _FILL[kind](value, zip(before[::2], before[1::2], strict=True) if is_dict else before)


def _attributes(value: Any) -> dict[str, Any]:
    """The attributes of an object, also in slots, or those of a class of the user."""
    if isinstance(value, type):
        return {} if _is_from_library(value) else _class_attributes(value)
    try:
        state = object.__getstate__(value)
    except Exception:  # __getattr__ of a user's class may raise anything
        return {}
    parts = state if isinstance(state, tuple) else (state,)
    return {name: one for part in parts if part for name, one in part.items()}


def _class_attributes(kind: type) -> dict[str, Any]:
    return {
        name: value for name, value in vars(kind).items() if not name.startswith(("__", "_abc_"))
    }


def _restore_attributes(value: Any, before: dict[str, Any]) -> None:
    # Not by setattr(): the class may have a __setattr__ that refuses, or does more than that.
    base: Any = type if isinstance(value, type) else object
    now = _attributes(value)
    for name in now.keys() - before.keys():
        base.__delattr__(value, name)
    for name, one in before.items():
        if name not in now or now[name] is not one:
            base.__setattr__(value, name, one)


def _generator_restore(value: Any) -> Restore:
    if isinstance(value, torch.Generator):
        return partial(value.set_state, value.get_state())
    if isinstance(value, random.Random):
        return partial(value.setstate, value.getstate())
    bits = value.bit_generator if isinstance(value, np.random.Generator) else value
    if isinstance(bits, np.random.RandomState):
        return partial(bits.set_state, bits.get_state())
    return partial(setattr, bits, "state", bits.state)


def _array_restore(array: Any) -> Restore:
    if isinstance(array, np.ndarray):
        return partial(_restore_array, array, array.copy())
    return partial(_restore_tensor, array, array.detach().clone(), array.requires_grad)


def _restore_array(array: np.ndarray, before: np.ndarray) -> None:
    if array.flags.writeable:
        array[...] = before


def _restore_tensor(tensor: Tensor, before: Tensor, requires_grad: bool) -> None:
    with torch.no_grad():
        if (tensor.shape, tensor.dtype) != (before.shape, before.dtype):
            tensor.data = before
        # A tensor that did not change is not written, because an expanded one cannot be.
        elif tensor.layout != torch.strided or not torch.equal(tensor, before):
            tensor.copy_(before)
    if tensor.is_leaf:
        tensor.requires_grad_(requires_grad)
