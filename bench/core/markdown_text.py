"""Text from elsewhere as Markdown shows it literally, in GitHub's dialect too."""

from __future__ import annotations

import re

from bench.core.printable import printable

# An underscore inside of a word and a $ after one are no markup: names and US$ stay readable.
_MARKUP = re.compile(
    r"[\\`*\[\]|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<![A-Za-z0-9])\$"
    r"|^[#+-](?=[\s#].)|^[=-](?=[=-]+$)|(?<=^\d)[.)](?=\s)|(?<=^\d\d)[.)](?=\s)"
)
# GitHub makes links and signs of these after it has read the Markdown: a backslash is gone by then.
_REFERENCE = re.compile(
    r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|:(?=//|[a-z][a-z0-9_+-]*:)|\bwww(?=\.)", re.IGNORECASE
)
# No tag even for a reader that knows HTML and no Markdown.
_BRACKETS = str.maketrans({"<": "&#60;", ">": "&#62;"})
_NO_SPACE = "&#8203;"  # takes no room, and ends a word


def markdown_safe(text: str) -> str:
    """One line that no reader of Markdown takes for markup, a link, a mention or an issue."""
    line = _MARKUP.sub(r"\\\g<0>", " ".join(printable(text).split()))
    return _REFERENCE.sub(rf"\g<0>{_NO_SPACE}", line).translate(_BRACKETS)
