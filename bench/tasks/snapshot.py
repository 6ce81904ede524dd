"""The state of objects and of everything they refer to, kept in order to put it back in place.

Every object stays the same object and only its content is put back: what two parts of a model
share stays shared, and what was compiled for a tensor or a list still holds.
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
# A trainer leads to all of Lightning and to the meters, which go on working meanwhile.
_LEFT_ALONE = (*_PLAIN, FunctionType, ModuleType, pl.Trainer, random.SystemRandom)
_CONTAINERS = (dict, list, tuple, set, frozenset, deque, partial)
# Of library classes like these, the attributes are the user's.
_HOLDERS = (
    *(nn.Module, pl.LightningDataModule, Dataset, Sampler, DataLoader),
    *(SimpleNamespace, Namespace, UserDict, UserList),
)
# These know their position and nothing else: a copy continues where the original was.
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
_OF_A_HOLDER = (*_CONTAINERS, *_ARRAYS)
_MOST_DATA_BYTES = 2**28


class Snapshot:
    """The state of modules and of data.

    All tensors and arrays of the modules are kept. In data, only those of at most one dimension
    are, such as an order or labels, up to 256 MiB: samples are only read, and may fill the memory.

    Objects of the user's own classes, modules, data sets, samplers and loaders are kept with their
    attributes and those of their classes. Of other objects from libraries only the random
    generators are: an attribute may refer to a file or a thread that has moved on.
    """

    def __init__(self, modules: Iterable[nn.Module], data: object = None) -> None:
        """Keep the present state."""
        self._modules = list(modules)
        self._seen: dict[int, Any] = {}  # with the objects, so that no other gets the same id
        self._copies: dict[int, Any] = {}
        self._restores: list[Restore] = []
        self._left_bytes = _MOST_DATA_BYTES
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

    def _walk(self, roots: Iterable[Any], keeps: Callable[[Any], bool]) -> None:
        """Keep everything that can be reached; what the user's objects refer to comes first."""
        pending = deque((root, True) for root in roots)
        while pending:
            value, is_own = pending.pop()
            if isinstance(value, _LEFT_ALONE) or id(value) in self._seen:
                continue
            is_own = _is_own(value, of_holder=is_own)
            add = pending.extend if is_own else pending.extendleft
            if type(value) is tuple:  # a data set may list a million of them
                add((other, is_own) for other in value if not isinstance(other, _PLAIN))
                continue
            self._seen[id(value)] = value
            if isinstance(value, _GENERATORS):
                self._restores.append(_generator_restore(value))
            elif not isinstance(value, _ARRAYS):
                self._restores += self._content_restores(value) if is_own else ()
                add((other, is_own) for other in _referred(value))
            elif is_own and keeps(value):
                self._restores.append(_array_restore(value))

    def _is_small(self, array: Any) -> bool:
        if array.ndim > 1 or isinstance(array, np.memmap) or array.nbytes > self._left_bytes:
            return False
        self._left_bytes -= array.nbytes
        return True

    def _content_restores(self, value: Any) -> Iterator[Restore]:
        """What puts back to which objects one refers."""
        if isinstance(value, dict):
            yield partial(_restore_dict, value, self._kept(_items(value)))
        elif isinstance(value, list | deque):
            yield partial(_restore_list, value, list(self._kept(enumerate(value)).values()))
        elif isinstance(value, set):
            yield partial(_restore_set, value, set(value))
        yield partial(_restore_attributes, value, self._kept(_attributes(value).items()))

    def _kept(self, items: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
        """The objects; of an iterator, which cannot be put back, one copy for all its holders."""
        kept = dict(items)
        for name, value in kept.items():
            if isinstance(value, _ITERATORS):
                self._seen[id(value)] = value
                kept[name] = self._copies.setdefault(id(value), copy.copy(value))
        return kept


def _is_own(value: Any, *, of_holder: bool) -> bool:
    """Whether an object is the user's; a container or an array is its holder's."""
    if isinstance(value, _OF_A_HOLDER):
        return of_holder
    kind: Any = value if isinstance(value, type) else type(value)
    return issubclass(kind, _HOLDERS) or not _is_from_library(kind)


@cache
def _is_from_library(kind: type) -> bool:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return kind.__module__ == "builtins" or (file or "").startswith(_LIBRARIES)


def _referred(value: Any) -> Iterator[Any]:
    """The objects that one refers to."""
    if isinstance(value, dict):
        yield from (other for _, other in _items(value))
    elif isinstance(value, list | tuple | set | frozenset | deque):
        yield from value
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, MethodType):
        yield value.__self__
    yield from _attributes(value).values()
    if not isinstance(value, type):
        yield from (kind for kind in type(value).__mro__ if not _is_from_library(kind))


def _attributes(value: Any) -> dict[str, Any]:
    """What an object keeps under names, in its slots too, or what a class of the user's keeps."""
    if isinstance(value, type):
        return {} if _is_from_library(value) else _class_attributes(value)
    try:
        state = object.__getstate__(value)
    except Exception:  # a __getattr__ of the user's may raise anything
        return {}
    parts = state if isinstance(state, tuple) else (state,)
    return {name: kept for part in parts if part for name, kept in part.items()}


def _class_attributes(kind: type) -> dict[str, Any]:
    own = vars(kind).items()
    return {name: value for name, value in own if not name.startswith(("__", "_abc_"))}


def _restore_attributes(value: Any, before: dict[str, Any]) -> None:
    # Past a __setattr__ of the class, which may refuse or do more than that.
    base: Any = type if isinstance(value, type) else object
    now = _attributes(value)
    for name in now.keys() - before.keys():
        base.__delattr__(value, name)
    for name, kept in before.items():
        if name not in now or now[name] is not kept:
            base.__setattr__(value, name, kept)


def _items(value: dict[Any, Any]) -> list[tuple[Any, Any]]:
    return list(_plain_class(value).items(value))


def _plain_class(value: dict[Any, Any]) -> Any:
    """Whose methods do no more than their names say."""
    return OrderedDict if isinstance(value, OrderedDict) else dict


def _restore_dict(value: dict[Any, Any], before: dict[Any, Any]) -> None:
    now = _items(value)
    same = len(now) == len(before) and all(
        name is other and one is kept
        for (name, one), (other, kept) in zip(now, before.items(), strict=True)
    )
    if not same:
        _plain_class(value).clear(value)
        _plain_class(value).update(value, before)


def _restore_list(value: list[Any] | deque[Any], before: list[Any]) -> None:
    if list(map(id, value)) != list(map(id, before)):
        value.clear()
        value.extend(before)


def _restore_set(value: set[Any], before: set[Any]) -> None:
    if value != before:
        value.clear()
        value.update(before)


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
        # What did not change is not written: an expanded tensor cannot be.
        elif tensor.layout != torch.strided or not torch.equal(tensor, before):
            tensor.copy_(before)
    if tensor.is_leaf:
        tensor.requires_grad_(requires_grad)
