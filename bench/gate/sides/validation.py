"""Files that the gate keeps, and values in them that no run can have.

The files are JSON that git shows well: sorted keys, a line per value, written whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.core.errors import first_error
from bench.core.files import read_file, replace_file
from bench.core.printable import printable
from bench.gate.metrics import GATE_METRICS, lower_of
from bench.gate.model import GateRun

_T = TypeVar("_T")
# Far more than anything measured; sums and ratios of larger numbers overflow.
_LARGEST = 1e100
# Far more than any configuration has; Python itself gives up at some hundred.
_DEEPEST = 32
_COMPONENTS = frozenset(each.joules.components for each in GATE_METRICS if each.joules)


def write_text(path: Path, tree: Mapping[str, Any]) -> None:
    """Replace a file, or create it and its folder.

    Raises:
        ValueError: It cannot be written there.
    """
    text = json.dumps(tree, indent=1, sort_keys=True) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise ValueError(f"{path}: cannot write there ({error.strerror})") from error


def read_text(path: Path, *, kind: str, newest: int, remedy: str) -> dict[str, Any]:
    """Read a file of this gate.

    Args:
        path: The file.
        kind: The value of its key `kind`.
        newest: Latest format that is understood.
        remedy: What to do about a file of another kind.

    Raises:
        ValueError: It is not there, not of this kind, cut, or of a newer format.
    """
    try:
        tree = json.loads(read_file(path))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a file of {kind}, or cut ({error}); {remedy}") from error
    if not isinstance(tree, dict) or tree.get("kind") != kind:
        raise ValueError(f"{path}: not a file of {kind}; {remedy}")
    version = tree.get("format")
    if type(version) is not int:
        raise ValueError(f"{path}: format={printable(version)}: must be a whole number; {remedy}")
    if version > newest:
        raise ValueError(
            f"{path}: format {version} is newer than this version reads ({newest}); update"
        )
    return tree


def validated(adapter: TypeAdapter[_T], tree: Any, path: Path, remedy: str) -> _T:
    """Turn the content of a file into the class of the adapter.

    Raises:
        ValueError: It does not match; the message names the file, the place and the remedy.
    """
    try:
        return adapter.validate_python(tree)
    except ValidationError as error:
        raise ValueError(f"{path}: {first_error(error)}; {remedy}") from error


def require_possible(run: GateRun) -> None:
    """Refuse a run with a value that cannot be: it would end the comparison of all, or win it.

    Raises:
        ValueError: A metric has a value that it cannot have, the components of joules are not
            counted, or the configuration or a fact is nested too deep; the message names it.
    """
    for name, value in run.values.items():
        if not is_possible(value, lower_of(name)):
            raise ValueError(f"{printable(name)}={value}: cannot be")
    for name in _COMPONENTS & run.facts.keys():
        counts = run.facts[name]  # of a total by part, of a part one number
        numbers = counts.values() if isinstance(counts, Mapping) else [counts]
        if counts is not None and not all(type(num) is int for num in numbers):
            raise ValueError(f"{name}={printable(counts)}: cannot be")
    for name, tree in (("configuration", run.config), ("facts", run.facts)):
        if not _is_shallow(tree, _DEEPEST):
            raise ValueError(f"{name}: nested more than {_DEEPEST} levels deep")


def is_possible(value: float, lower: float = 0.0) -> bool:
    """Whether a metric whose smallest possible value is `lower` can have this value."""
    return max(lower, -_LARGEST) <= value < _LARGEST


def _is_shallow(tree: Any, levels: int) -> bool:
    if not isinstance(tree, (Mapping, list, tuple)):
        return True
    children = tree.values() if isinstance(tree, Mapping) else tree
    return levels > 0 and all(_is_shallow(child, levels - 1) for child in children)
