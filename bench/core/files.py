"""Files written whole or not at all, the name of a place that cannot be written, and logs."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path

import bench


class StoreError(ValueError):
    """The store cannot be written or a record in it cannot be read; one line with the remedy."""


def utc_now() -> str:
    """The wall clock as ISO 8601 in UTC, to the second: a stamp, never used for a duration."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def file_stamp(utc: str) -> str:
    """A stamp of utc_now() as it stands in the names of folders, which sort by it."""
    return utc.replace("-", "").replace(":", "")


def config_dir() -> Path:
    """The folder conf/: of the checkout, or the copy inside an installed package."""
    package = Path(next(iter(bench.__path__))).resolve()  # bench.ab may search it through a link
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def expanded(path: str | Path) -> Path:
    """A path of a configuration, with `~` and variables such as $HOME replaced as a shell does.

    What has no meaning, such as `~nobody`, stays as it is.
    """
    return Path(os.path.expanduser(os.path.expandvars(path)))


def unwritable(path: Path, error: OSError) -> str:
    """Why a results folder cannot be written to, and the remedy, in one line."""
    reason = error.strerror or str(error)
    return f"results={path}: cannot write there ({reason}); free it or give results=DIR"


def require_file(path: Path) -> None:
    """Refuse what is no file of its own: a pipe or a device would be waited for, or never end.

    Raises:
        StoreError: It is none.
        OSError: It is not there, or cannot be looked at.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise StoreError(f"{path}: not a file")


def read_file(path: Path) -> bytes:
    """What a file holds that may have come from elsewhere.

    Raises:
        StoreError: It is no file.
        OSError: It is not there, or cannot be read.
    """
    require_file(path)
    return path.read_bytes()


def write_whole(file: int, data: bytes) -> None:
    """One write for all of the data.

    Raises:
        OSError: The disk took less than all of it.
    """
    written = os.write(file, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes fitted on the disk")


def replace_file(path: Path, data: bytes) -> Path:
    """Write a file atomically: beside it, flushed to the disk, then renamed over it.

    Raises:
        OSError: It cannot be written there; nothing is left beside it.
    """
    # A name that nobody can foresee: in a temporary folder, somebody else's link may lie in wait.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def last_lines(path: Path, num: int, *, most_bytes: int) -> list[str]:
    """The last lines of a log that are not empty, at most num of them, from its last bytes."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most_bytes))
        text = file.read().decode(errors="replace")
    return [line for line in text.splitlines() if line.strip()][-num:]
