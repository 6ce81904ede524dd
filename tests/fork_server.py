"""A fork server for the jobs of one module, beside the one that all tests of a worker share.

A test may kill this one, or let it import little. Jobs of later tests then need not import torch
again.
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
