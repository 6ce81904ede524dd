"""The files of a maintained deployment: windows.jsonl and events.jsonl, one line per row.

Each row is written at once, so that a killed run keeps every window that it has served.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.core.errors import first_error
from bench.core.files import StoreError, read_file, write_whole
from bench.core.records.maintenance import MaintenanceEvent, WindowRow

WINDOWS, EVENTS = "windows.jsonl", "events.jsonl"
_WINDOW: TypeAdapter[WindowRow] = TypeAdapter(WindowRow)
_EVENT: TypeAdapter[MaintenanceEvent] = TypeAdapter(MaintenanceEvent)
_T = TypeVar("_T")


class MaintenanceWriter:
    """Appends windows and events to the files of a run."""

    def __init__(self, folder: Path) -> None:
        """Open both files.

        Args:
            folder: Of the run.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._windows, self._events = (
            os.open(folder / name, flags, 0o644) for name in (WINDOWS, EVENTS)
        )

    def add_window(self, row: WindowRow) -> None:
        """Write a window; when this returns, the kernel has it, and a kill cannot lose it."""
        write_whole(self._windows, _WINDOW.dump_json(row) + b"\n")

    def add_event(self, event: MaintenanceEvent) -> None:
        """Write an event, likewise."""
        write_whole(self._events, _EVENT.dump_json(event) + b"\n")

    def close(self) -> None:
        """Close both files; adding afterwards is an error and reaches no other file."""
        os.close(self._windows)
        os.close(self._events)
        self._windows = self._events = -1


def read_windows(folder: Path) -> list[WindowRow]:
    """Read the windows of a run; none if it has no such file.

    Raises:
        StoreError: A line is no window, or the file cannot be read.
    """
    return _read(folder / WINDOWS, _WINDOW)


def read_events(folder: Path) -> list[MaintenanceEvent]:
    """Read the events of a run; none if it has no such file.

    Raises:
        StoreError: A line is no event, or the file cannot be read.
    """
    return _read(folder / EVENTS, _EVENT)


def _read(path: Path, adapter: TypeAdapter[_T]) -> list[_T]:
    try:
        # A full disk may have cut the last line, so what follows the last newline is left out.
        lines: list[bytes] = read_file(path).split(b"\n")[:-1] if path.exists() else []
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    return [_row(adapter, line, f"{path}: line {n}") for n, line in enumerate(lines, 1) if line]


def _row(adapter: TypeAdapter[_T], line: bytes, where: str) -> _T:
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        raise StoreError(f"{where}: {first_error(error)}") from error
