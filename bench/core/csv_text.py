"""Text from elsewhere as a cell of a CSV file that no spreadsheet takes for a formula."""

from __future__ import annotations

import re

from bench.core.printable import printable

_FORMULA = re.compile(r"\s*[=+\-@\uff0b\uff0d\uff1d\uff20].")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-](inf|nan)", re.IGNORECASE)


def csv_safe(text: str) -> str:
    """The text in one line, with a `'` before it where it would be a formula; numbers stay such."""
    line = printable(text)
    return f"'{line}" if _FORMULA.match(line) and not _NUMBER.fullmatch(line) else line
