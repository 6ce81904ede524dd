"""How one gets what is not installed."""

from __future__ import annotations


def install_hint(extra: str) -> str:
    """The remedy for a library that comes with an extra of this project."""
    return f"install it with the extra '{extra}' (docs/install.md)"
