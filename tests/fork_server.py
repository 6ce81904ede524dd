"""A fork server for the jobs of one module, beside the one that all tests of a worker share.

A test may end it, or have it import little, and jobs of later tests need not import torch anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from unittest.mock import patch

_FUNCTIONS = ("ensure_running", "connect_to_new_process", "set_forkserver_preload")


@contextmanager
def own_fork_server() -> Iterator[None]:
    """Start jobs from a server of their own, which is ended afterwards."""
    server = forkserver.ForkServer()
    with patch.multiple(forkserver, **{name: getattr(server, name) for name in _FUNCTIONS}):
        try:
            yield
        finally:
            server._stop()  # type: ignore[attr-defined]
