"""Turns a user's configuration into plain values, which can be recorded and hashed.

It imports neither PyTorch nor JAX, because a training of one's own may use another library.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
from collections.abc import Collection, Mapping, Sequence, Set
from pathlib import PurePath
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np

from bench.core.errors import first_line

_SCALARS = (bool, int, float, str)
_AS_TEXT = (PurePath, np.dtype, enum.Enum)
_AS_TEXT_OF_TORCH = ("dtype", "device")
_NAMESPACES = (argparse.Namespace, SimpleNamespace)


def plain_config(config: Any, target: Mapping[str, Any]) -> dict[str, Any]:
    """Make the configuration of a run: the user's in plain values, and the target.

    Args:
        config: A mapping, a namespace or a dataclass. Nodes of OmegaConf are mappings, and their
            interpolations are resolved.
        target: The target of the run.

    Raises:
        ValueError: A value has no plain form, two keys are the same text, or the user's `target`
            contradicts the run's; the message names the key.
    """
    values = plain(config, "config")
    if not isinstance(values, dict):
        raise ValueError(f"config={config!r}: must be a mapping")
    given = values.get("target", {})
    if not isinstance(given, dict) or not given.items() <= target.items():
        raise ValueError(
            f"config['target']={given!r}: contradicts the target of the run, which is kept "
            "under this key; leave it out or rename it"
        )
    return {**values, "target": dict(target)}


def plain(value: Any, name: str) -> Any:
    """Convert a value to the types of JSON.

    Numbers and arrays (NumPy, PyTorch, JAX) become numbers and lists. Paths, dtypes, devices and
    enumeration members become texts, classes and functions their names, sets sorted lists, and
    namespaces and dataclasses mappings.

    Args:
        value: Any value.
        name: Its name in messages, such as config['lr'].

    Raises:
        ValueError: There is no plain form.
    """
    if value is None or type(value) in _SCALARS:
        return value
    if isinstance(value, _AS_TEXT) or _is_text_of_torch(type(value)):
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
        return _sorted([plain(each, name) for each in value])
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(each, f"{name}[{index}]") for index, each in enumerate(value)]
    raise ValueError(
        f"{name}: a value of type {type(value).__name__} cannot be recorded; give a number, a "
        "text, or a list or mapping of them"
    )


def _is_text_of_torch(kind: type) -> bool:
    return kind.__module__ == "torch" and kind.__name__ in _AS_TEXT_OF_TORCH


def _listed(value: Any) -> Any:
    """Convert a scalar or an array of any library to numbers; None for any other value."""
    if not (hasattr(value, "__array__") and hasattr(value, "tolist")):
        return None
    try:
        listed = value.tolist()
    except (RuntimeError, TypeError):  # it is sparse, or has no values
        return None
    return None if isinstance(listed, np.generic) else listed  # wider than Python's numbers


def _members(value: Any) -> Mapping[Any, Any] | None:
    """The members of a mapping, a namespace or a dataclass; None for any other value."""
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
        except Exception as error:  # OmegaConf: the value is missing, or refers to nothing
            raise ValueError(f"{inner}: {first_line(error)}") from error
        found[str(key)] = plain(value, inner)
    return found


def _sorted(values: Collection[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:  # the values have several types
        return sorted(values, key=repr)
