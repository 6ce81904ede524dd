"""The ledger of a results folder: one line when a run is launched, and one when it ends.

It is an index for people, and shows which folders somebody has deleted. Nothing relies on it: the
truth is in the run folders. A line that cannot be read does not affect others.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.core.files import StoreError, read_file, unwritable_message, utc_now, write_whole
from bench.core.records.run import RunIdentity, RunRecord

LEDGER = "ledger.jsonl"
# A link could lead out of the results folder, and a pipe would have to be waited for.
_APPEND = os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
Event = dict[str, Any]


def append_ledger(results: Path, event: str, identity: RunIdentity, **facts: Any) -> None:
    """Append a line to the ledger; lines of several processes of one host do not mix.

    Only a command appends, and not the processes of its runs: they may be on other hosts, and a
    network file system may mix what several hosts append.

    Raises:
        StoreError: The ledger cannot be written.
    """
    line = json.dumps({"event": event, "utc": utc_now(), **asdict(identity), **facts}) + "\n"
    try:
        file = _open_regular(results / LEDGER)
        try:
            # Begin a new line if a full disk has cut the last one.
            start = "" if _ends_with_newline(file) else "\n"
            write_whole(file, (start + line).encode())
        finally:
            os.close(file)
    except OSError as error:
        raise StoreError(unwritable_message(results, error)) from error


def note_launch(
    folder: Path, identity: RunIdentity, overrides: Sequence[str], sweep_id: str
) -> None:
    """Note that a run was launched.

    Args:
        folder: The folder of the run.
        identity: Its identity.
        overrides: Its overrides on the command line.
        sweep_id: The id of the command that launched it.

    Raises:
        StoreError: The ledger cannot be written.
    """
    facts = {"overrides": list(overrides), "sweep_id": sweep_id}
    append_ledger(folder.parent.parent, "launched", identity, **facts)


def note_end(folder: Path, record: RunRecord) -> None:
    """Note how a run has ended.

    Raises:
        StoreError: The ledger cannot be written.
    """
    reached = record.target.reached if record.target else None
    results = folder.parent.parent
    append_ledger(results, "ended", record.identity, status=record.status, reached=reached)


def _open_regular(path: Path) -> int:
    file = os.open(path, os.O_RDWR | _APPEND, 0o644)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, f"{path.name} is not a file")
    return file


def _ends_with_newline(file: int) -> bool:
    size = os.fstat(file).st_size
    return size == 0 or os.pread(file, 1, size - 1) == b"\n"


class Ledger:
    """The events of a ledger in order.

    Attributes:
        events: The events.
        num_skipped: Number of lines without an event, because a full disk cut them or something
            else wrote them.
    """

    def __init__(self, results: Path) -> None:
        """Read what is there.

        Args:
            results: The results folder; a ledger that does not exist has no events.

        Raises:
            StoreError: The ledger cannot be read.
        """
        self._path = results / LEDGER
        # A last line without an end is being written, or was cut.
        lines = [line for line in self._content().split(b"\n")[:-1] if line.strip()]
        self.events = [event for event in map(_event, lines) if event is not None]
        self.num_skipped = len(lines) - len(self.events)

    def _content(self) -> bytes:
        try:
            return read_file(self._path)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be read ({error.strerror})") from error

    @property
    def skipped_note(self) -> str | None:
        """Say in one line that lines were skipped; None if none was."""
        if not self.num_skipped:
            return None
        lines = "1 line" if self.num_skipped == 1 else f"{self.num_skipped} lines"
        return f"{self._path}: skipped {lines} without an event of a run"


def _event(line: bytes) -> Event | None:
    """Parse a line of the ledger; None if this project did not write it."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict):
        return None
    texts = all(isinstance(event.get(key), str) for key in ("event", "run_id", "command"))
    numbers = all(isinstance(event.get(key), int) for key in ("seed", "repeat"))
    # These become parts of a path, which must not lead out of the results folder.
    named = texts and "/" not in event["run_id"] + event["command"]
    return event if named and numbers else None
