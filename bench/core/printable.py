"""Makes foreign text safe to show: names, messages and paths from a user or a file.

This module replaces characters that no output can show, and markup in CSV and Markdown. Every other
output escapes its own markup where it is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Control characters, marks that change the direction of writing, and surrogates: they move the
# cursor of a terminal, hide text, or cannot be encoded.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_SPACES = {"\n": " ", "\r": " ", "\t": " "}
_FORMULA = re.compile(r"\s*[=+\-@\uff0b\uff0d\uff1d\uff20].")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-](inf|nan)", re.IGNORECASE)
# An underscore inside a word and a $ after one are no markup, so names and US$ stay readable.
_MARKUP = re.compile(
    r"[\\`*\[\]|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<![A-Za-z0-9])\$"
    r"|^[#+-](?=[\s#].)|^[=-](?=[=-]+$)|(?<=^\d)[.)](?=\s)|(?<=^\d\d)[.)](?=\s)"
)
# GitHub turns these into links and emoji after it has read the Markdown, so no backslash helps.
_REFERENCE = re.compile(
    r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|:(?=//|[a-z][a-z0-9_+-]*:)|\bwww(?=\.)", re.IGNORECASE
)
# Not a tag even for a reader that understands HTML but not Markdown.
_BRACKETS = str.maketrans({"<": "&#60;", ">": "&#62;"})
_NO_SPACE = "&#8203;"  # takes no room, and ends a word


def printable(text: object) -> str:
    r"""The text in one line; characters that cannot be shown are written as `\x1b`, for example."""
    return _HIDDEN.sub(lambda match: _SPACES.get(match[0]) or _escape(match[0]), str(text))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def csv_safe(text: str) -> str:
    """The text in one line, with a `'` before it if it would be a formula; numbers stay numbers."""
    line = printable(text)
    return f"'{line}" if _FORMULA.match(line) and not _NUMBER.fullmatch(line) else line


def markdown_safe(text: str) -> str:
    """One line that no reader of Markdown takes for markup, a link, a mention or an issue."""
    line = _MARKUP.sub(r"\\\g<0>", " ".join(printable(text).split()))
    return _REFERENCE.sub(rf"\g<0>{_NO_SPACE}", line).translate(_BRACKETS)


def first_and_more(names: Sequence[str]) -> str:
    """Name the first of several, and count the others: `seed=1 and 2 more`."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
