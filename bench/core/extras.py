"""How a message says what is to be installed: in one place, and without an index of packages.

The package is installed from a checkout or from its repository, so that no command that names the
package alone would find it.
"""

from __future__ import annotations


def install_hint(extra: str) -> str:
    """The end of a message that something of an extra (of pyproject.toml) is not installed."""
    return f"install it with the extra '{extra}' (docs/install.md)"
