"""What pydantic says of data from a file, in one line."""

from __future__ import annotations

from pydantic import ValidationError

from bench.core.printable import printable


def first_error(error: ValidationError) -> str:
    """The first thing that does not fit, with its place."""
    first = error.errors()[0]
    return printable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
