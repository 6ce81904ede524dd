"""Makes the parts of a report one by one, so that a part that fails does not stop the others.

NothingToDraw is an answer: the runs lack what the part shows. Any other error is a defect of this
project; it is listed as well, and the command ends with another exit code. Tests call the functions
that make the parts directly, so they see every error.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from analysis.figures.prepare import NothingToDraw
from analysis.load.runs import UnreadFile
from analysis.tables.files import CannotWrite
from bench.core.printable import printable

_T = TypeVar("_T")


class Attempts:
    """A Make that lists what could not be made.

    Attributes:
        not_made: Name of each part that could not be made so far, and the reason.
        num_failed: How many of these are defects.
    """

    def __init__(self, *, wants_traceback: bool = False) -> None:
        """Start with an empty list.

        Args:
            wants_traceback: Whether to print the traceback of a defect.
        """
        self.not_made: list[tuple[str, str]] = []
        self.num_failed = 0
        self._wants_traceback = wants_traceback

    def make(self, name: str, function: Callable[[], _T], instead: _T) -> _T:
        """Make the part, or return `instead` if that fails.

        Raises:
            CannotWrite: There is no place to write to; every other part would fail as well.
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
            self.num_failed += self._list(name, _failure_words(error))
        return instead

    def _list(self, name: str, reason: str) -> bool:
        """List a part once, although a table is made for its file and for the page."""
        if (name, reason) in self.not_made:
            return False
        self.not_made.append((name, reason))
        return True


def _failure_words(error: Exception) -> str:
    text = printable(" ".join(str(error).split()))
    return f"failed ({type(error).__name__}: {text}); HYDRA_FULL_ERROR=1 shows where"


@dataclass(slots=True)
class CaughtWarnings:
    """What the warnings during a report were about.

    Attributes:
        unread: Files of runs that could not be read, and why.
        has_boxes: Whether the figures' font lacks a character of some name, and draws a box.
    """

    unread: dict[str, str] = field(default_factory=dict)
    has_boxes: bool = False


@contextmanager
def catch_warnings() -> Iterator[CaughtWarnings]:
    """Collect the warnings that a report explains in its own words; show all others as usual."""
    caught = CaughtWarnings()
    with warnings.catch_warnings():
        show = warnings.showwarning

        def keep(message: Warning | str, category: type[Warning], *place: object) -> None:
            if isinstance(message, UnreadFile):
                caught.unread.setdefault(message.folder, message.reason)
            elif "missing from font" in str(message):
                caught.has_boxes = True
            else:
                show(message, category, *place)  # type: ignore[arg-type]

        warnings.simplefilter("always", UnreadFile)
        warnings.filterwarnings("always", message=".*missing from font")
        warnings.showwarning = keep  # type: ignore[assignment]
        yield caught
