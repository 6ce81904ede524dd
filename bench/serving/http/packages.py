"""The optional packages that serving over HTTP needs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from bench.core.extras import install_hint

_PACKAGES = ("aiohttp", "httptools", "starlette", "uvicorn")


def require_packages(names: Iterable[str] = _PACKAGES) -> None:
    """Refuse to go on without the optional packages that serving over HTTP needs.

    Raises:
        ValueError: One is missing; the message says how to install it.
    """
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"backend=http: {', '.join(missing)} is not installed; {install_hint('serving')}"
        )
