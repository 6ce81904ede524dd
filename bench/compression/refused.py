"""What compression says when it cannot do as asked."""

from __future__ import annotations


class CompressionRefused(ValueError):  # noqa: N818 -- a refusal with its reason, not a fault
    """The runtime would not really compute in the asked precision, or not run this model at all.

    One line with the reason and, where there is one, the way that works.
    """


def first_line(error: BaseException) -> str:
    """What an exception says, in one line, with what kind of exception it is."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
