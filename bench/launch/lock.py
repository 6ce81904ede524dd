"""One measured window at a time on a host."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

# A waiting process looks once a second: a few microseconds, not felt by the run it waits for.
_POLL_S = 1.0


def lock_path() -> Path:
    """The lock's file: the same for all users and checkouts of a host."""
    return Path(os.environ.get("BENCH_LOCK", Path(tempfile.gettempdir()) / "bench-measuring.lock"))


@contextmanager
def measuring_lock(
    path: Path, holder: str, on_wait: Callable[[str], None], *, poll_s: float = _POLL_S
) -> Iterator[None]:
    """Hold the host's measuring lock; it is freed by the system if this process dies.

    Args:
        path: The lock's file.
        holder: Who holds it, for others to read.
        on_wait: Called once, with the present holder, if the lock is taken.
        poll_s: How often a waiting process looks, in seconds.
    """
    lock = FileLock(path, mode=0o666)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_wait(_read(path))
        lock.acquire(poll_interval=poll_s)
    try:
        _write(path, holder)
        yield
    finally:
        lock.release()


def _holder_file(path: Path) -> Path:
    # Beside the lock and not in it: opening the lock's file for writing would empty it.
    return path.with_suffix(".holder")


def _write(path: Path, holder: str) -> None:
    # Another user's file may not be ours to write, the disk full: the lock holds without it.
    with suppress(OSError):
        _holder_file(path).write_text(holder)


def _read(path: Path) -> str:
    try:
        return _holder_file(path).read_text()
    except OSError:
        return "unknown"
