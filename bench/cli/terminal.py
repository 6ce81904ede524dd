"""Where commands print: a console as wide as it may be, and a line that is redrawn."""

from __future__ import annotations

import re
import sys
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.text import Text

from bench.core.printable import printable

# What a CI service takes for an order to itself, such as ::error:: and ##[error]. Some count at the
# beginning of a line only; but lines are folded.
_ORDER = re.compile(r":(?=:[A-Za-z-]+(?:::| ))|#(?=#\w*\[)")


def wide_console() -> Console:
    """Of standard output; a file or a pipe takes lines of any length."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()  # None where it is closed
    return Console(width=None if is_terminal else 1000)


def shown(text: object) -> str:
    """Text from elsewhere in one line that neither a terminal nor a CI service takes for orders."""
    return _ORDER.sub(lambda match: f"\\x{ord(match[0]):02x}", printable(text))


# What an ASCII terminal has for the few other characters that the tables use.
_ASCII = str.maketrans({"µ": "u", "±": "+-"})


def in_ascii(text: str) -> str:
    """The text with `u` and `+-` for the signs that an ASCII console cannot show."""
    return text.translate(_ASCII)


def plain_text(text: str) -> Text:
    """Text from elsewhere for the terminal: brackets are no markup, control characters no orders.

    Line breaks stay.
    """
    return Text("\n".join(map(shown, text.split("\n"))))


def say(console: Console, text: str, style: str | None = None) -> None:
    """Print lines that may hold names, messages and paths from elsewhere; long ones are not cut."""
    shown_text = in_ascii(text) if console.options.ascii_only else text
    console.print(plain_text(shown_text), style=style, soft_wrap=True, highlight=False)


class Line:
    """One line on the terminal, as a context manager; nothing where it is not shown.

    Redrawn only when there is something to say: a line that refreshes itself would use the CPU that
    is being measured.
    """

    def __init__(self, console: Console, *columns: ProgressColumn, shown: bool) -> None:
        """Nothing is shown yet.

        Args:
            console: Where.
            columns: What the line is made of.
            shown: Whether it is wanted, and the console a terminal.
        """
        self._bar = Progress(
            *columns, console=console, auto_refresh=False, transient=True, disable=not shown
        )

    def __enter__(self) -> Self:
        self._bar.start()
        self._bar.refresh()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()
