"""Where results go: one line says that a place cannot be written to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotWrite(ValueError):  # noqa: N818 -- says what is the matter
    """A place for results cannot be written to; one line with the remedy."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Make a folder and write into it.

    Raises:
        CannotWrite: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotWrite(
            f"out={folder}: cannot write there ({reason}); free it or give out=DIR"
        ) from error
