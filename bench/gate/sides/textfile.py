"""JSON text that git shows well: sorted keys, a line per value, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.core.files import read_file, replace_file
from bench.core.printable import printable
from bench.core.validation import first_error

_T = TypeVar("_T")


def write_text(path: Path, tree: Mapping[str, Any]) -> None:
    """Replace a file, or make it and its folder.

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
    """What such a file holds.

    Args:
        path: The file.
        kind: What it says it is.
        newest: Latest format that is understood.
        remedy: What to do about a file that is none.

    Raises:
        ValueError: It is not there, not of this kind, cut, or of a newer format.
    """
    try:
        tree = json.loads(read_file(path))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: no file of {kind}, or cut ({error}); {remedy}") from error
    if not isinstance(tree, dict) or tree.get("kind") != kind:
        raise ValueError(f"{path}: no file of {kind}; {remedy}")
    version = tree.get("format")
    if type(version) is not int:
        raise ValueError(f"{path}: format={printable(version)}: must be a whole number; {remedy}")
    if version > newest:
        raise ValueError(
            f"{path}: format {version} is newer than this version reads ({newest}); update"
        )
    return tree


def validated(adapter: TypeAdapter[_T], tree: Any, path: Path, remedy: str) -> _T:
    """What was read as the class that it is of.

    Raises:
        ValueError: It does not fit; the message names the file, the place and the remedy.
    """
    try:
        return adapter.validate_python(tree)
    except ValidationError as error:
        raise ValueError(f"{path}: {first_error(error)}; {remedy}") from error
