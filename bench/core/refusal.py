"""The error that a combination does not exist here: its run is `refused`, and has not failed."""

from __future__ import annotations


class CombinationRefused(ValueError):  # noqa: N818 -- a refusal with its reason, not a fault
    """A model, a runtime, a device and a compression that do not go together on this machine."""
