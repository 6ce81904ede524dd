"""Which repeat a run is, where several processes may begin runs of one configuration at once.

A run holds a lock on its curve for as long as its process lives, so that one which is killed gives
its number back. On a file system without locks, runs that begin at once may get the same number.
"""

from __future__ import annotations

import fcntl
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from bench.core.ledger import Ledger, next_repeat


def hold(folder: Path) -> BinaryIO:
    """Mark a run as running until release(), or until the process dies."""
    curve = (folder / "curve.jsonl").open("ab")
    with suppress(OSError):
        fcntl.flock(curve, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return curve


def release(curve: BinaryIO) -> None:
    """Mark the run as ended."""
    with suppress(OSError):
        fcntl.flock(curve, fcntl.LOCK_UN)  # closing does not, while a loader's worker is alive
    curve.close()


def free_repeat(results: Path, command: str, config_hash: str, seed: int) -> int:
    """The first repeat that no run of a configuration and seed has ended with or is running as.

    Args:
        results: Its ledger is held until the run is announced there.
        command: Of the run, as the others.
        config_hash: Likewise.
        seed: Likewise.
    """
    wanted = {"event": "launched", "command": command, "config_hash": config_hash, "seed": seed}
    running = {
        line["repeat"]
        for line in Ledger(results).events
        if wanted.items() <= line.items() and _is_running(results / command / line["run_id"])
    }
    return next_repeat(results, command, config_hash, seed, besides=running)


def _is_running(folder: Path) -> bool:
    try:
        with (folder / "curve.jsonl").open("rb") as curve:
            fcntl.flock(curve, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such run, or no locks here
        return False
    return False
