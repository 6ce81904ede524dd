"""Errors that decide what a record says of the end of its run: refused, diverged, failed."""

from __future__ import annotations


class CombinationRefused(ValueError):  # noqa: N818 -- a refusal with its reason, not a fault
    """A model, a runtime, a device and a compression do not go together: the run is `refused`."""


class DivergedError(RuntimeError):
    """The loss is not a number any more: a failure with a cost, which no budget would mend."""


class PassFailed(RuntimeError):  # noqa: N818 -- says what happened to the pass
    """The system failed during a pass, or when it was tried; the cause is what it failed with."""
