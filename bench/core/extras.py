"""How a message says what is to be installed: in one place, and without an index of packages.

The package is installed from a checkout or from its repository, so that no command that names the
package alone would find it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def install_hint(extra: str) -> str:
    """The end of a message that something of an extra (of pyproject.toml) is not installed."""
    return f"install it with the extra '{extra}' (docs/install.md)"


@contextmanager
def needs_extra(extra: str, what: str, kind: type[Exception]) -> Iterator[None]:
    """A block that imports what an extra installs.

    Args:
        extra: Of pyproject.toml.
        what: The library, after the key that needs it: `recipe=prune: torch_pruning`.
        kind: Raised, with how to install it, where the block cannot import it.
    """
    try:
        yield
    except ImportError as error:
        raise kind(f"{what} is not installed; {install_hint(extra)}") from error
