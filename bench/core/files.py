"""Writes files whole or not at all, reads files from elsewhere, and expands paths."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import bench


class StoreError(ValueError):
    """The store cannot be written, or a record in it cannot be read; one line with the remedy."""


def utc_now() -> str:
    """The wall clock as ISO 8601 in UTC, to the second; a stamp, never used for durations."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def file_stamp(utc: str) -> str:
    """A stamp of utc_now() in the form for names of folders, so that they sort by time."""
    return utc.replace("-", "").replace(":", "")


def config_dir() -> Path:
    """The folder conf/: of the checkout, or the copy inside an installed package."""
    package = Path(next(iter(bench.__path__))).resolve()  # bench.ab may search it through a link
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"


def expand_path(path: str | Path) -> Path:
    """A path of a configuration, with `~` and variables such as $HOME replaced as in a shell.

    Parts without a meaning, such as `~nobody`, stay unchanged.
    """
    return Path(os.path.expanduser(os.path.expandvars(path)))


def cache_folder() -> Path:
    """The user's folder for what can be made or fetched again; it may not exist."""
    return expand_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "operational-metrics-bench"


def unwritable_message(path: Path, error: OSError) -> str:
    """Say in one line why a results folder cannot be written to, and the remedy."""
    reason = error.strerror or str(error)
    return f"results={path}: cannot write there ({reason}); free it or give results=DIR"


def require_file(path: Path) -> None:
    """Refuse anything but a regular file: reading a pipe or a device might wait or never end.

    Raises:
        StoreError: It is not a regular file.
        OSError: It does not exist, or cannot be examined.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise StoreError(f"{path}: not a file")


def read_file(path: Path) -> bytes:
    """Read a file that somebody else may have made.

    Raises:
        StoreError: It is not a regular file.
        OSError: It does not exist, or cannot be read.
    """
    require_file(path)
    return path.read_bytes()


def list_folder(folder: Path) -> list[str]:
    """What is in a folder now, even if another host of a network file system has just added it.

    Returns:
        Names in no order; none if there is no such folder.

    Raises:
        StoreError: It cannot be read.
    """
    with suppress(OSError):
        os.utime(folder)  # else a network file system may answer from a listing that it remembers
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{folder}: cannot be read ({error.strerror})") from error


def write_whole(file: int, data: bytes) -> None:
    """Write all of the data in one call.

    Raises:
        OSError: The disk took less than all of it.
    """
    written = os.write(file, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes fitted on the disk")


def replace_file(path: Path, data: bytes) -> Path:
    """Write a file atomically: into a new file, flushed to the disk, then renamed over the old one.

    Raises:
        OSError: It cannot be written there; the new file is removed.
    """
    # The name is random: in a temporary folder, another user could put a link at a known name.
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with new.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_output(key: str, path: Path, text: str) -> None:
    """Write the output file that a key names, and make its folder.

    Raises:
        ValueError: It cannot be written; the message names the key.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{key}={path}: cannot write there ({error.strerror})") from error


def last_lines(path: Path, num: int, *, most_bytes: int) -> list[str]:
    """The last lines of a log that are not empty: at most num, from at most most_bytes bytes."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most_bytes))
        text = file.read().decode(errors="replace")
    return [line for line in text.splitlines() if line.strip()][-num:]
