"""Windows that tests open: they hold the lock of the process, and are closed after the test."""

from __future__ import annotations

from typing import Protocol


class _Openable(Protocol):
    def open(self) -> None: ...

    def close(self) -> None: ...


OPENED: list[_Openable] = []


def open_for_test(window: _Openable) -> None:
    """Open a window that is closed when the test has ended."""
    window.open()
    OPENED.append(window)
