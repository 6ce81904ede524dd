"""Finds the file of the user's that data=csv and data=text read, and identifies it by a hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.core.files import expand_path, require_file


def locate_file(path: str, root: str | None, owner: str = "data") -> Path:
    """Find a file by its path, or in another folder.

    Args:
        path: The path of the file.
        root: The folder that it is in; None takes the path as it is. An absolute path then only
            gives the file's name, because the folder may be that of another machine.
        owner: The keys are those of this one, for messages.

    Raises:
        ValueError: There is no such file, or it cannot be read.
    """
    file = expand_path(path)
    if root is not None:
        file = expand_path(root) / (file.name if file.is_absolute() else file)
    try:
        require_file(file)
        file.open("rb").close()
    except FileNotFoundError as error:
        place = "here" if root is None else f"in {owner}.root={root}"
        serving = " (in bench.serve: data_root)" if owner == "data" else ""
        raise ValueError(
            f"{owner}.path={path}: no such file {place}; give its path, or its folder in "
            f"{owner}.root{serving}"
        ) from error
    except (OSError, ValueError) as error:  # no permission, a folder, a pipe
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"{owner}.path={path}: cannot be read ({reason})") from error
    return file


def hash_file(file: Path) -> str:
    """The SHA-256 of the bytes of a file, in hex digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
