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
            # Hidden ones are being made, or were when their process was killed.
            children = [entry.path for entry in entries if not entry.name.startswith(".")]
        for child in filter(os.path.isdir, children):
            yield from runs_below(child, levels - 1)


def _is_run(folder: str) -> bool:
    if _RUN_ID.fullmatch(os.path.basename(folder)):
        return True
    return os.path.exists(os.path.join(folder, "run.json"))
