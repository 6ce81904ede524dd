"""What of a stored configuration may be made: a results folder may be a stranger's.

The configuration of a training run names classes and functions by their dotted paths, and serving
its model calls them: whoever wrote the folder would choose what is run. Therefore only what this
project's own options name is called, and what the user of the command allows by name (`trust`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from bench.config.nodes import NODES
from bench.core.checks import matching
from bench.core.printable import printable

# The parts of a stored configuration that are ever made, and what conf/ names for them.
PARTS = ("data", "model")
BUILT_IN = frozenset(vars(node)["_target_"] for part in PARTS for node in NODES[part].values())
_TARGET = "_target_"
_MAX_DEPTH = 32
_MAX_SHOWN = 100
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
ModuleName = Annotated[
    str, matching(_MODULE.pattern, "must be names of modules, such as trust=[my_package]")
]


def targets_of(config: Mapping[str, Any]) -> list[str]:
    """What the data and the model of a configuration are made by, at every depth.

    For a configuration of the user's own: theirs are then trusted in a run that it builds on.
    """
    nodes = (part for name in PARTS for part in _mappings(config.get(name), name))
    return [str(node[_TARGET]) for _, node in nodes if _TARGET in node]


def require_trusted(
    config: Mapping[str, Any], folder: Path, trust: Sequence[str], *, parts: Sequence[str] = PARTS
) -> None:
    """Refuse a stored configuration that names code which nobody has allowed to run.

    Nothing is imported. That a name below a trusted module is not another module's is seen once it
    is imported: see require_defined.

    Args:
        config: As a record has it.
        folder: Of the run, for the error.
        trust: Modules, or full names of classes and functions, that the user has allowed.
        parts: What will be made of it.

    Raises:
        ValueError: A name is not allowed, or a part is missing or no plain data.
    """
    for part in parts:
        top = config.get(part)
        if not isinstance(top, Mapping) or _TARGET not in top:
            raise ValueError(
                f"{printable(folder)}: its configuration does not say what its {part} is made by "
                f"({part}.{_TARGET}); it is no training run of this project"
            )
        for key, node in _mappings(top, part):
            _refuse_interpolations(node, key, folder)
            if _TARGET in node:
                require_allowed(node[_TARGET], f"{key}.{_TARGET}", folder, trust)


def require_defined(target: str, found: object, folder: Path, trust: Sequence[str]) -> None:
    """Refuse what a trusted module has only imported: `my_package.os.system` is not its own.

    Args:
        target: A name that require_trusted let pass.
        found: What it stands for.
        folder: Of the run, for the error.
        trust: As of require_trusted.

    Raises:
        ValueError: It is defined in a module that is not trusted.
    """
    if target in BUILT_IN or target in trust:
        return
    module = getattr(found, "__module__", None)
    if not (isinstance(module, str) and _is_below(module, trust)):
        raise ValueError(
            f"{printable(folder)}: {_shown(target)}, which it names, is not defined in what "
            f"trust allows, but in {printable(module)}; if you know what it does, allow it by its "
            f"full name: trust=[{_shown(target)}]"
        )


def require_allowed(target: object, key: str, folder: Path, trust: Sequence[str]) -> None:
    """Refuse a name of a class or function that nobody has allowed to be called.

    Args:
        target: As a stored file has it.
        key: Where in the folder it stands.
        folder: As of require_trusted.
        trust: As of require_trusted.

    Raises:
        ValueError: It is not allowed, or no name.
    """
    named = f"{printable(folder)}: its {_shown(key)}={_shown(target)}"
    if not isinstance(target, str) or not _MODULE.match(target):
        raise ValueError(f"{named} is no dotted name of a class or function; do not use this run")
    if target in BUILT_IN or _is_below(target, trust):
        return
    raise ValueError(
        f"{named} is code that is neither this project's nor allowed by you, and a results folder "
        "may be a stranger's; if you know that code, allow it with "
        f"trust=[{_shown(target.partition('.')[0])}]"
    )


def _is_below(name: str, trust: Sequence[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in trust)


def _refuse_interpolations(node: Mapping[Any, Any], key: str, folder: Path) -> None:
    """Stored configurations are resolved; an interpolation would be computed when one is made."""
    values = [*node, *node.values()]
    for value in values:
        if any("${" in text for text in _texts(value)):
            raise ValueError(
                f"{printable(folder)}: its {_shown(key)} holds an interpolation, "
                f"{_shown(value)}, which no configuration of a run that was made does; do not use "
                "this run"
            )


def _texts(value: object) -> Iterator[str]:
    """The texts in a value and in lists within it; those of mappings are seen by themselves."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list | tuple):
            stack.extend(one)


def _mappings(value: object, key: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Every mapping within a value, itself included, with its dotted key.

    Raises:
        ValueError: They lie too deep within one another for a configuration.
    """
    stack = [(value, key, 0)]
    while stack:
        one, path, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise ValueError(f"{key}: its configuration is nested too deeply; do not use this run")
        if isinstance(one, Mapping):
            yield path, one
            stack += [(each, f"{path}.{name}", depth + 1) for name, each in one.items()]
        elif isinstance(one, list | tuple):
            stack += [(each, f"{path}[{i}]", depth + 1) for i, each in enumerate(one)]


def _shown(value: object) -> str:
    """In one line of bounded length."""
    text = printable(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
