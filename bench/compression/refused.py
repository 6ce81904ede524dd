"""What compression says when it cannot do as asked."""

from __future__ import annotations

from bench.core.errors import CombinationRefused


class CompressionRefused(CombinationRefused):
    """The runtime would not really compute in the asked precision, or not run this model at all.

    One line with the reason and, where there is one, the way that works.
    """


class LibraryMissing(ValueError):  # noqa: N818 -- says what is missing, as meters do
    """A library of an extra is not installed: that is for the user to mend, and no refusal."""


def first_line(error: BaseException) -> str:
    """What an exception says, in one line, with what kind of exception it is."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
