"""Files of one JSON object per line, which grow row by row and survive a kill at any moment."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from bench.core.errors import first_error
from bench.core.files import StoreError, read_file, write_whole

T = TypeVar("T")
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
# Ends of the names of quantities that cannot be below 0.
_NEVER_NEGATIVE = ("_s", "_ms", "_bytes", "_utc", "samples", "steps", "_usd", "_per_s")
# Except the parts of a latency, two of which are differences between two clocks, and qualities,
# whose names a user may have chosen.
_SIGNED = ("stages.", "quality.", "quality_test.")


class LineWriter(Generic[T]):
    """Appends rows to a file, each in one write, so that a kill leaves whole lines."""

    def __init__(self, path: Path, adapter: TypeAdapter[T]) -> None:
        """Open the file.

        Args:
            path: The file; it is made if it does not exist.
            adapter: Of the type of a row; making one takes longer than writing many rows.
        """
        self._adapter = adapter
        self._file = os.open(path, _APPEND, 0o644)

    def append(self, row: T) -> None:
        """Write one row; when this returns, the kernel has it, and a kill cannot lose it."""
        write_whole(self._file, self._adapter.dump_json(row) + b"\n")

    def close(self) -> None:
        """Close the file; appending afterwards is an error and reaches no other file."""
        os.close(self._file)
        self._file = -1


def append_line(path: Path, line: bytes) -> None:
    """Append one row to a file that grows rarely, and need not stay open.

    Args:
        path: The file; it is made if it does not exist.
        line: The row as JSON, with the end of its line.

    Raises:
        OSError: It cannot be written.
    """
    file = os.open(path, _APPEND, 0o644)
    try:
        write_whole(file, line)
    finally:
        os.close(file)


def read_lines(path: Path, adapter: TypeAdapter[T]) -> list[T]:
    """Read the rows of a file; a last line that a full disk cut is left out.

    Args:
        path: The file; one that does not exist has no rows.
        adapter: Of the type of a row.

    Raises:
        StoreError: A line is no such row, or the file cannot be read.
    """
    try:
        lines = read_file(path).split(b"\n")[:-1] if path.exists() else []
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror})") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if line:
            try:
                row = adapter.validate_json(line)
            except ValidationError as error:
                raise StoreError(f"{path}: line {number}: {first_error(error)}") from error
            refuse_impossible(adapter.dump_python(row), f"{path}: line {number}")
            rows.append(row)
    return rows


def refuse_impossible(values: Mapping[str, Any], where: str) -> None:
    """Refuse impossible numbers, which would make a run the best of all.

    Args:
        values: A record or a row, nested.
        where: The file, for the error.

    Raises:
        StoreError: A number is not finite, or a time, a size or a count is negative.
    """
    for keys, value in _suspicious(values, ()):
        name = ".".join(map(str, keys))
        never_negative = name.endswith(_NEVER_NEGATIVE) and not name.startswith(_SIGNED)
        if never_negative or not math.isfinite(value):
            raise StoreError(f"{where}: {name}={value}: cannot be; measure the run again")


def _suspicious(values: Any, above: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], float]]:
    """The numbers of a nested value that are negative or not finite, with the keys of each."""
    items = values.items() if isinstance(values, Mapping) else enumerate(values)
    for key, value in items:
        if value is None or isinstance(value, str):
            continue
        if not isinstance(value, int | float):
            yield from _suspicious(value, (*above, key))
        elif not 0 <= value < math.inf:
            yield (*above, key), value
