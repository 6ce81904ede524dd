"""Errors that decide what a record says of the end of its run, and any error in one line."""

from __future__ import annotations


class CombinationRefused(ValueError):  # noqa: N818 -- a refusal with its reason, not a fault
    """A model, a runtime, a device and a compression do not go together: the run is `refused`."""


class DivergedError(RuntimeError):
    """The loss is not a number any more: a failure with a cost, which no budget would mend."""


class PassFailed(RuntimeError):  # noqa: N818 -- says what happened to the pass
    """The system failed during a pass, or when it was tried; the cause is what it failed with."""


class CompressionRefused(CombinationRefused):
    """The runtime would not really compute in the asked precision, or not run this model at all.

    One line with the reason and, where there is one, the way that works.
    """


class LibraryMissing(ValueError):  # noqa: N818 -- says what is missing, as meters do
    """A library of an extra is not installed: that is for the user to mend, and no refusal."""


def first_line(error: BaseException) -> str:
    """What an exception says, in one line; what kind it is where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def kind_and_line(error: BaseException) -> str:
    """What kind of exception it is, and what it says in one line."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"
