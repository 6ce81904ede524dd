"""The end of what a process has printed to a file."""

from __future__ import annotations

from pathlib import Path


def last_lines(path: Path, num: int, *, most_bytes: int) -> list[str]:
    """The last lines of a log that are not empty: at most so many, of at most so many bytes."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most_bytes))
        text = file.read().decode(errors="replace")
    return [line for line in text.splitlines() if line.strip()][-num:]
