"""Text from elsewhere, made fit to be shown: names, messages and paths that a user or a file gave.

Each output escapes what is markup in it, in one place: the terminal in bench/cli/terminal.py,
Markdown, CSV, LaTeX and figures where they are written. What no output can show is replaced here.
"""

from __future__ import annotations

import re

# Control characters, what turns the direction of writing, and halves of characters: they move the
# cursor of a terminal, hide text, or cannot be encoded.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_SPACES = {"\n": " ", "\r": " ", "\t": " "}


def printable(text: object) -> str:
    r"""One line of characters that can be shown; what cannot is written as `\x1b`, say."""
    return _HIDDEN.sub(lambda match: _SPACES.get(match[0]) or _escaped(match[0]), str(text))


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
