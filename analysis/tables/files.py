"""How the parts of a report are made and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

_T = TypeVar("_T")


class CannotWrite(ValueError):  # noqa: N818 -- says what is wrong
    """Results cannot be written to a folder; the message is one line with the remedy."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Create a folder, and name it in the error if it cannot be written to.

    Raises:
        CannotWrite: The folder cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotWrite(
            f"out={folder}: cannot write there ({reason}); free it or give out=DIR"
        ) from error


class Make(Protocol):
    """Calls a function that makes a part of a report; may return `instead` if that fails."""

    def __call__(self, name: str, function: Callable[[], _T], instead: _T) -> _T:
        """Make the part of this name."""


def at_once(name: str, function: Callable[[], _T], instead: _T) -> _T:
    """Make a part without catching any error."""
    return function()
