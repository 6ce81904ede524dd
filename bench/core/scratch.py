"""Temporary folders, and the removal of those that a killed process has left behind.

A folder of a served model may hold gigabytes, and a process that is killed cannot remove it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "bench-scratch-"
_HELD = ".held"
# A folder has no lock in its first moments.
_LEAST_AGE_S = 600.0


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder that is removed at the end of the block."""
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        with (folder / _HELD).open("wb") as held:
            # A lock and not a process number: another container may share the folder for temporary
            # files, with numbers of its own. The kernel releases a lock however its process ends.
            with suppress(OSError):  # a file system without locks
                fcntl.flock(held, fcntl.LOCK_EX)
            yield folder


def remove_left_folders() -> None:
    """Remove this user's scratch folders whose process is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # What cannot be read or locked is in use, or somebody else's: leave it alone.
        with suppress(OSError):
            facts = folder.lstat()
            is_own = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()
            if is_own and time.time() - facts.st_mtime > _LEAST_AGE_S:
                with (folder / _HELD).open("rb") as held:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
