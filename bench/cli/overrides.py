"""Overrides as they stand on a command line, such as `+model.width=32` or `model@network=cnn`."""

from __future__ import annotations

# Flags by which Hydra sweeps.
MULTIRUN = frozenset(("-m", "--multirun"))


def key_of(override: str) -> str:
    """The dotted key or the group that an override gives, without `+`, `~` and where it goes."""
    return override.lstrip("+~").partition("=")[0].partition("@")[0]
