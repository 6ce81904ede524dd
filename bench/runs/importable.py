"""Checks that the classes and data of a configuration can be imported, called and split, by trying.

The checks run in a process of their own (bench/launch/needs.py): they run the user's modules.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from bench.cli.messages import root_cause
from bench.config.train import MODULE
from bench.core.suggest import did_you_mean
from bench.tasks.data import require_loaders
from bench.tasks.lightning_module import OPTIONAL_LOADERS, require_module_class


def require_target(key: str, target: str, task: str = "classification") -> None:
    """Refuse a `_target_` that cannot be imported or called.

    Args:
        key: The key that holds it.
        target: A dotted path.
        task: The key `task`: a module of the user's own needs no test split.

    Raises:
        ValueError: It cannot; the message has the reason.
    """
    try:
        part = get_object(target)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        raise ValueError(f"{key}={target}: {_reason(target, root_cause(error))}") from error
    if not callable(part):
        raise ValueError(
            f"{key}={target}: must be a class or a function, is a {type(part).__name__}"
        )
    if key == "data._target_":
        require_loaders(part, target, optional=OPTIONAL_LOADERS if task == MODULE else ())
    if key == "model._target_" and task == MODULE:
        require_module_class(part, target)


def _reason(target: str, error: BaseException) -> str:
    """Say why an import failed, with the nearest name if a name is wrong."""
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        parent, _, name = error.name.rpartition(".")
        if error.name == target.partition(".")[0]:
            return f"No module named '{error.name}'; start in its folder or set PYTHONPATH"
        if target.startswith(f"{error.name}.") or target == error.name:
            return _no_attribute(parent, name)
    if isinstance(error, AttributeError) and error.name is not None:
        return _no_attribute(getattr(error.obj, "__qualname__", target), error.name, error.obj)
    return f"{type(error).__name__}: {error}"


def _no_attribute(owner: str, name: str, value: Any = None) -> str:
    """Say that a name does not exist, and which similar one does."""
    names = dir(sys.modules.get(owner) if value is None else value)
    return f"{owner} has no {name}{did_you_mean(name, names)}"


def require_call(key: str, target: str, names: Sequence[str]) -> None:
    """Refuse a class or function that lacks one of the parameters that it will be called with.

    Raises:
        ValueError: A parameter is missing; the message names it and all the others.
    """
    try:
        signature = inspect.signature(get_object(target))
    except (TypeError, ValueError):  # C code may have no signature: the call will show
        return
    try:
        signature.bind_partial(**dict.fromkeys(names))
    except TypeError as error:
        raise ValueError(
            f"{key}={target}: {error}; it is called with {', '.join(names)}"
        ) from error


def require_splits(key: str, value: object, data: str) -> None:
    """Refuse data that cannot be read and split as configured, by doing it.

    Args:
        key: The key that decides whether it can.
        value: Its value.
        data: The data's part of the configuration, as JSON.

    Raises:
        ValueError: It cannot; the message has the reason.
    """
    try:
        module = instantiate(json.loads(data), batch_size=1, seed=0)
        module.prepare_data()
        module.setup("fit")
    except InstantiationException as error:
        raise ValueError(f"{key}={value}: {root_cause(error)}") from error
