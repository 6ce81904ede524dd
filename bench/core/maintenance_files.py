"""The files of a deployment: windows.jsonl and events.jsonl, one line per row.

Each row is written at once, so that a killed run keeps every window that it has served.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from bench.core.json_lines import LineWriter, read_lines
from bench.core.records.maintenance import MaintenanceEvent, WindowRow

WINDOWS, EVENTS = "windows.jsonl", "events.jsonl"
_WINDOW: TypeAdapter[WindowRow] = TypeAdapter(WindowRow)
_EVENT: TypeAdapter[MaintenanceEvent] = TypeAdapter(MaintenanceEvent)


class MaintenanceWriter:
    """Appends windows and events to the files of a run, and keeps them.

    Attributes:
        rows: The windows so far.
        events: The events so far.
    """

    def __init__(self, folder: Path) -> None:
        """Open both files.

        Args:
            folder: Of the run.
        """
        self.rows: list[WindowRow] = []
        self.events: list[MaintenanceEvent] = []
        self._windows = LineWriter(folder / WINDOWS, _WINDOW)
        self._events = LineWriter(folder / EVENTS, _EVENT)

    def add_window(self, row: WindowRow) -> None:
        """Write a window; when this returns, the kernel has it, and a kill cannot lose it."""
        self.rows.append(row)
        self._windows.append(row)

    def add_event(self, event: MaintenanceEvent) -> None:
        """Write an event, likewise."""
        self.events.append(event)
        self._events.append(event)

    def close(self) -> None:
        """Close both files; adding afterwards is an error and reaches no other file."""
        self._windows.close()
        self._events.close()


def read_windows(folder: Path) -> list[WindowRow]:
    """Read the windows of a run; none if it has no such file.

    Raises:
        StoreError: A line is no window, or the file cannot be read.
    """
    return read_lines(folder / WINDOWS, _WINDOW)


def read_events(folder: Path) -> list[MaintenanceEvent]:
    """Read the events of a run; none if it has no such file.

    Raises:
        StoreError: A line is no event, or the file cannot be read.
    """
    return read_lines(folder / EVENTS, _EVENT)
