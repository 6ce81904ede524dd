"""Which run folders are meant by what a user names: folders at any level, and globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from bench.core.files import expanded
from bench.core.find import runs_below


def run_folders(roots: Sequence[Path | str]) -> list[Path]:
    """The run folders in or at the roots, each once, in the order of their paths.

    Args:
        roots: Results folders, folders of a command, run folders, or globs of any of these.

    Returns:
        Absolute paths. A folder named like a run is one even if it holds no record.

    Raises:
        ValueError: A root is not there, cannot be read, or there is no run in it.
    """
    found: set[str] = set()
    for root in roots:
        errors: list[OSError] = []
        below = {
            folder
            for place in _places(root)
            for folder in runs_below(place, on_error=errors.append)
        }
        if errors and not below:
            where, reason = errors[0].filename, errors[0].strerror
            raise ValueError(f"results={root}: {where}: cannot be read ({reason})")
        # Who reads it as a run says why that cannot be done.
        below |= {str(error.filename) for error in errors}
        if not below:
            raise ValueError(
                f"results={root}: no runs there; give a results folder, a run folder or a glob"
            )
        found |= below
    return [Path(folder) for folder in sorted(found)]


def _places(root: Path | str) -> list[str]:
    name = os.path.abspath(expanded(root))
    if os.path.exists(
        name
    ):  # before it is taken for a glob: a folder may have brackets in its name
        if not os.path.isdir(name):
            raise ValueError(
                f"results={root}: not a folder; give the folder of a run or of several"
            )
        return [os.path.realpath(name)]
    matches = [os.path.realpath(match) for match in glob.glob(name) if os.path.isdir(match)]
    if not matches:
        raise ValueError(f"results={root}: no such folder, and no folder matches it as a glob")
    return matches
