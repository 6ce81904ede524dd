"""Parts of a report made one by one: one that fails keeps none of the others from being written.

What the runs do not hold (NothingToDraw) is an answer. Any other error is a defect of this project:
it is listed, too, and the command ends with another exit code. Tests call the functions that make
the parts, so that they see every error.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from analysis.figures.prepare import NothingToDraw
from analysis.load.runs import UnreadFile
from analysis.tables.files import CannotWrite
from bench.core.printable import printable

_T = TypeVar("_T")


class Attempts:
    """A Make that keeps a list of what could not be made.

    Attributes:
        not_made: Name of each part and why it could not be made; it grows.
        num_failed: How many of these are defects.
    """

    def __init__(self, *, wants_traceback: bool = False) -> None:
        """Nothing was tried.

        Args:
            wants_traceback: Whether the traceback of a defect is printed.
        """
        self.not_made: list[tuple[str, str]] = []
        self.num_failed = 0
        self._wants_traceback = wants_traceback

    def make(self, name: str, function: Callable[[], _T], instead: _T) -> _T:
        """The part, or `instead` where it cannot be made.

        Raises:
            CannotWrite: There is no place to write to: no other part would fare better.
        """
        try:
            return function()
        except NothingToDraw as reason:
            self._list(name, printable(reason))
        except CannotWrite:
            raise
        except Exception as error:
            if self._wants_traceback:
                traceback.print_exception(error)
            self.num_failed += (name, _words(error)) not in self.not_made
            self._list(name, _words(error))
        return instead

    def _list(self, name: str, reason: str) -> None:
        if (name, reason) not in self.not_made:  # a table is in its file and on the page
            self.not_made.append((name, reason))


def _words(error: Exception) -> str:
    text = printable(" ".join(str(error).split()))
    return f"failed ({type(error).__name__}: {text}); HYDRA_FULL_ERROR=1 shows where"


class Noticed:
    """What warnings said while a report was made.

    Attributes:
        unread: Files of runs that could not be read, and why.
        has_boxes: Whether the figures' font has no glyph for a character of some name.
    """

    def __init__(self) -> None:
        """Nothing was said."""
        self.unread: dict[str, str] = {}
        self.has_boxes = False


@contextmanager
def noticed() -> Iterator[Noticed]:
    """Collect the warnings that a report puts into words of its own; others are shown as ever."""
    found = Noticed()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], *place: object) -> None:
            if isinstance(message, UnreadFile):
                found.unread.setdefault(message.folder, message.reason)
            elif "missing from font" in str(message):
                found.has_boxes = True
            else:
                show(message, category, *place)  # type: ignore[arg-type]

        warnings.simplefilter("always", UnreadFile)
        warnings.filterwarnings("always", message=".*missing from font")
        warnings.showwarning = keep  # type: ignore[assignment]
        yield found
