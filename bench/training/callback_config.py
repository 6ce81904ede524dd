"""A user's configuration as plain values, which a record can hold and a hash can be taken of."""

from __future__ import annotations

import argparse
import dataclasses
import enum
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import PurePath
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import first_line

_SCALARS = (bool, int, float, str)
_AS_TEXT = (PurePath, torch.dtype, torch.device, enum.Enum)
_NAMESPACES = (argparse.Namespace, SimpleNamespace)


def plain_config(config: Any, target: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run: the user's in plain values, and the target.

    Args:
        config: A mapping, a namespace or a dataclass; nodes of OmegaConf are mappings, and come
            with their interpolations resolved.
        target: The target of the callback.

    Raises:
        ValueError: A value has no plain form, two keys are the same text, or `target` is there and
            says something else; the message names the key.
    """
    kept = plain(config, "config")
    if not isinstance(kept, dict):
        raise ValueError(f"config={config!r}: must be a mapping")
    wanted = kept.get("target", {})
    if not isinstance(wanted, dict) or not wanted.items() <= target.items():
        raise ValueError(
            f"config['target']={wanted!r}: contradicts the target of the callback, which is kept "
            "under this key; leave it out or name it otherwise"
        )
    return {**kept, "target": dict(target)}


def plain(value: Any, name: str) -> Any:
    """A value in the types of JSON.

    Numbers and arrays of NumPy and PyTorch become numbers and lists; paths, dtypes, devices and
    members of enumerations text; classes and functions their names; sets sorted lists; namespaces
    and dataclasses mappings.

    Args:
        value: Any value.
        name: What messages call it, such as config['lr'].

    Raises:
        ValueError: There is no plain form.
    """
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if (listed := _listed(value)) is not None:
        return plain(listed, name)
    for scalar in _SCALARS:
        if isinstance(value, scalar):
            return scalar(value)
    if (members := _members(value)) is not None:
        return _plain_mapping(members, name)
    if isinstance(value, Set):
        return _in_order([plain(each, name) for each in value])
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(each, f"{name}[{index}]") for index, each in enumerate(value)]
    raise ValueError(
        f"{name}: a value of type {type(value).__name__} cannot be recorded; give a number, a "
        "text, or a list or mapping of them"
    )


def _listed(value: Any) -> Any:
    """The numbers of a scalar or an array; None for any other value."""
    if not isinstance(value, np.generic | np.ndarray | Tensor):
        return None
    try:
        listed = value.tolist()
    except (RuntimeError, TypeError):  # sparse, or without values
        return None
    return None if isinstance(listed, np.generic) else listed  # longer than Python's


def _members(value: Any) -> Mapping[Any, Any] | None:
    """What a mapping, a namespace or a dataclass holds; None for any other value."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, _NAMESPACES):
        return vars(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _plain_mapping(members: Mapping[Any, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in members:
        inner = f"{name}[{str(key)!r}]"
        if str(key) in found:
            raise ValueError(f"{inner}: two keys have this text; rename one")
        try:
            value = members[key]
        except Exception as error:  # OmegaConf: a value is missing, or refers to none
            raise ValueError(f"{inner}: {first_line(error)}") from error
        found[str(key)] = plain(value, inner)
    return found


def _in_order(values: Collection[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:  # of several types
        return sorted(values, key=repr)
