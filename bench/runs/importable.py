"""Whether what a configuration names can be imported, called and split, by doing it.

Called in a process of its own: see bench/launch/needs.py.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Sequence
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate

from bench.cli.messages import innermost
from bench.core.suggest import did_you_mean
from bench.tasks.data import require_loaders


def require_target(key: str, target: str) -> None:
    """Refuse a `_target_` that cannot be imported, or called.

    Args:
        key: Where it stands.
        target: A dotted path.

    Raises:
        ValueError: It cannot; the message has the reason.
    """
    try:
        found = get_object(target)
    except (Exception, SystemExit) as error:  # whatever a module of the user's own may raise
        raise ValueError(f"{key}={target}: {_reason(target, innermost(error))}") from error
    if not callable(found):
        raise ValueError(
            f"{key}={target}: must be a class or a function, is a {type(found).__name__}"
        )
    if key == "data._target_":
        require_loaders(found, target)


def _reason(target: str, error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        parent, _, name = error.name.rpartition(".")
        if error.name == target.partition(".")[0]:
            return f"No module named '{error.name}'; start in its folder or set PYTHONPATH"
        if target.startswith(f"{error.name}.") or target == error.name:
            return _no_attribute(parent, name)
    if isinstance(error, AttributeError) and error.name is not None:
        return _no_attribute(getattr(error.obj, "__qualname__", target), error.name, error.obj)
    return f"{type(error).__name__}: {error}"


def _no_attribute(owner: str, name: str, found: Any = None) -> str:
    """That there is no such name, and which one there is."""
    names = dir(sys.modules.get(owner) if found is None else found)
    return f"{owner} has no {name}{did_you_mean(name, names)}"


def require_call(key: str, target: str, names: Sequence[str]) -> None:
    """Refuse a class or function that does not take what it is going to be given by name.

    Raises:
        ValueError: It does not; the message has the name, and what the part is called with.
    """
    try:
        signature = inspect.signature(get_object(target))
    except (TypeError, ValueError):  # of C code, say: it is seen when it is called
        return
    try:
        signature.bind_partial(**dict.fromkeys(names))
    except TypeError as error:
        raise ValueError(
            f"{key}={target}: {error}; it is called with {', '.join(names)}"
        ) from error


def require_splits(key: str, size: int, data: str) -> None:
    """Refuse a split that the data set has not samples enough for."""
    try:
        module = instantiate(json.loads(data), batch_size=1, seed=0)
        module.prepare_data()
        module.setup("fit")
    except InstantiationException as error:
        raise ValueError(f"{key}={size}: {innermost(error)}") from error
