"""Decides which code a stored configuration may name: somebody else may have written the folder.

The configuration of a training run names the classes and functions of its data and model by their
dotted paths. Serving that model calls them, so whoever wrote the folder could make this machine run
any code. Only targets that this project's own options name are allowed, and modules, classes and
functions that the user of the command lists in `trust`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from bench.config.nodes import NODES
from bench.core.checks import matches_pattern
from bench.core.printable import printable

# The parts of a stored configuration that are instantiated, and the targets of our own options.
PARTS = ("data", "model")
BUILT_IN = frozenset(vars(node)["_target_"] for part in PARTS for node in NODES[part].values())
# The parts that training it again instantiates, too; our own options of these are allowed as well.
TRAINING_PARTS = ("optimizer", "schedule")
_ALLOWED = BUILT_IN | {
    vars(node)["_target_"] for part in TRAINING_PARTS for node in NODES[part].values()
}
_TARGET = "_target_"
# Far more than any configuration of ours has.
_MAX_DEPTH = 32
_MAX_SHOWN = 100
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*\Z")
ModuleName = Annotated[
    str, matches_pattern(_MODULE.pattern, "must be names of modules, such as trust=[my_package]")
]


def list_targets(config: Mapping[str, Any], *, parts: Sequence[str] = PARTS) -> list[str]:
    """List the targets of the data and the model of a configuration, at every depth.

    A command trusts the targets of its own configuration in the run that it builds on.
    """
    nodes = (node for part in parts for _, node in _mappings(config.get(part), part))
    return [str(node[_TARGET]) for node in nodes if _TARGET in node]


def metric_nodes(config: Mapping[str, Any]) -> dict[str, Any]:
    """List the metrics that a user added to a task, as `metrics.NAME`; older runs have none."""
    nodes = config.get("metrics")
    nodes = nodes if isinstance(nodes, Mapping) else {}
    return {f"metrics.{name}": node for name, node in nodes.items()}


def require_trusted(
    config: Mapping[str, Any], folder: Path, trust: Sequence[str], *, parts: Sequence[str] = PARTS
) -> None:
    """Refuse a stored configuration that names code which is not allowed to run.

    This imports nothing, so it goes by names alone. Once a target is imported, require_defined
    checks that a trusted module really defines it.

    Args:
        config: The configuration in the record.
        folder: The folder of the run, for messages.
        trust: Modules, or full names of classes and functions, that the user allows.
        parts: The parts that will be instantiated.

    Raises:
        ValueError: A target is not allowed, a part has none, or a value is an interpolation.
    """
    for part in parts:
        top = config.get(part)
        if not isinstance(top, Mapping) or _TARGET not in top:
            raise ValueError(
                f"{printable(folder)}: its configuration has no {part}.{_TARGET}, so it is not a "
                "training run of this project; choose another run"
            )
        for key, node in _mappings(top, part):
            _refuse_interpolations(node, key, folder)
            if _TARGET in node:
                require_allowed(node[_TARGET], f"{key}.{_TARGET}", folder, trust)


def require_defined(target: str, defined: object, folder: Path, trust: Sequence[str]) -> None:
    """Refuse a target that a trusted module only imports, such as `my_package.os.system`.

    Args:
        target: A name that require_trusted accepted.
        defined: The imported object.
        folder: The folder of the run, for messages.
        trust: The modules and names that the user allows.

    Raises:
        ValueError: A module that is not trusted defines the object.
    """
    # A full name in `trust` allows exactly this object, wherever it is defined.
    if target in _ALLOWED or target in trust:
        return
    module = getattr(defined, "__module__", None)
    if not (isinstance(module, str) and _is_below(module, trust)):
        raise ValueError(
            f"{printable(folder)}: its configuration names {_shorten(target)}, which is defined in "
            f"{printable(module)}, a module that you do not trust; if you know what it does, allow "
            f"its full name: trust=[{_shorten(target)}]"
        )


def require_allowed(target: object, key: str, folder: Path, trust: Sequence[str]) -> None:
    """Refuse a dotted name that is neither this project's nor allowed by the user.

    Args:
        target: The name in the stored file.
        key: The key in that file, for messages.
        folder: The folder of the run, for messages.
        trust: The modules and names that the user allows.

    Raises:
        ValueError: The name is not allowed, or is not a dotted name.
    """
    setting = f"{printable(folder)}: its {_shorten(key)}={_shorten(target)}"
    if not isinstance(target, str) or not _MODULE.match(target):
        raise ValueError(
            f"{setting} is not a dotted name of a class or function; do not use this run"
        )
    if target in _ALLOWED or _is_below(target, trust):
        return
    raise ValueError(
        f"{setting} is neither code of this project nor code that you trust, and somebody else may "
        "have written this folder; if you know that code, allow it with "
        f"trust=[{_shorten(target.partition('.')[0])}]"
    )


def _is_below(name: str, trust: Sequence[str]) -> bool:
    return any(name == trusted or name.startswith(f"{trusted}.") for trusted in trust)


def _refuse_interpolations(node: Mapping[Any, Any], key: str, folder: Path) -> None:
    """Refuse interpolations: instantiating the part would evaluate them.

    The configurations that this project stores are resolved, so they contain none.
    """
    # Keys too: Hydra would interpolate in either.
    for value in [*node, *node.values()]:
        if any("${" in text for text in _texts(value)):
            raise ValueError(
                f"{printable(folder)}: its {_shorten(key)} contains the interpolation "
                f"{_shorten(value)}, which this project never stores; do not use this run"
            )


def _texts(value: object) -> Iterator[str]:
    """Yield a text, and the texts in lists; texts in nested mappings are checked with those."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list | tuple):
            stack.extend(item)


def _mappings(value: object, key: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield a mapping and every mapping inside it, each with its dotted key.

    The walk keeps its own stack: a hostile file could nest more deeply than Python recurses.

    Raises:
        ValueError: The value is nested too deeply for a configuration.
    """
    stack = [(value, key, 0)]
    while stack:
        item, path, depth = stack.pop()
        if depth > _MAX_DEPTH:
            raise ValueError(f"{key}: its configuration is nested too deeply; do not use this run")
        if isinstance(item, Mapping):
            yield path, item
            stack += [(each, f"{path}.{name}", depth + 1) for name, each in item.items()]
        elif isinstance(item, list | tuple):
            stack += [(each, f"{path}[{i}]", depth + 1) for i, each in enumerate(item)]


def _shorten(value: object) -> str:
    """The value in one line of limited length."""
    text = printable(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
