"""Which folders below one are those of runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

# As bench.core.store names them: start, configuration, random digits.
_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}-[0-9a-f]{8}")
_LEVELS = 2  # below a results folder: command, run


def runs_below(folder: str, levels: int = _LEVELS) -> Iterator[str]:
    """The run folders at or below a folder; one named like a run is one even if it is empty.

    Args:
        folder: A results folder, the folder of a command, or a run folder.
        levels: How deep to look.
    """
    if _is_run(folder):
        yield folder
    elif levels:
        with os.scandir(folder) as entries:
            children = [entry.path for entry in entries if entry.is_dir()]
        for child in children:
            yield from runs_below(child, levels - 1)


def _is_run(folder: str) -> bool:
    if _RUN_ID.fullmatch(os.path.basename(folder)):
        return True
    files = ("run.json", "config.yaml")
    return any(os.path.exists(os.path.join(folder, name)) for name in files)
