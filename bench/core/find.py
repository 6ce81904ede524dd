"""Finds the run folders below a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

# As bench.core.store names run folders: start, configuration, random digits.
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}-[0-9a-f]{8}")
_LEVELS = 2  # below a results folder: command, run


def runs_below(
    folder: str, levels: int = _LEVELS, on_error: Callable[[OSError], None] | None = None
) -> Iterator[str]:
    """Find the run folders at or below a folder; one named like a run counts even if it is empty.

    Args:
        folder: A results folder, the folder of a command, or a run folder.
        levels: How deep to look.
        on_error: Called for a folder that cannot be read, instead of raising.

    Raises:
        OSError: A folder cannot be read.
    """
    if _is_run(folder):
        yield folder
    elif levels:
        try:
            with os.scandir(folder) as entries:
                # Hidden folders are being created, or their process was killed meanwhile.
                children = [entry.path for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            if on_error is None:
                raise
            on_error(error)
            return
        for child in filter(os.path.isdir, children):
            yield from runs_below(child, levels - 1, on_error)


def is_named_like_a_run(folder: str) -> bool:
    """Whether the folder has a name that only bench.core.store gives."""
    return _RUN_ID.fullmatch(os.path.basename(folder)) is not None


def _is_run(folder: str) -> bool:
    return is_named_like_a_run(folder) or os.path.exists(os.path.join(folder, "run.json"))
