"""Fork servers beside the usual one of multiprocessing, which is one for each process.

A test may kill one of its own, or let it import little or much, without an effect on other tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from unittest.mock import patch

_FUNCTIONS = ("ensure_running", "connect_to_new_process", "set_forkserver_preload")


class JobServer(forkserver.ForkServer):
    """Imports what any job needs, once, whatever a command would import for its own jobs."""

    def __init__(self) -> None:
        super().__init__()
        self.set_forkserver_preload([])

    def set_forkserver_preload(self, modules_names: list[str]) -> None:
        """Keep to the modules of all jobs."""
        jobs = ["bench.training.job", "bench.serving.job", "tests.cli.frozen"]
        super().set_forkserver_preload(jobs)


@contextmanager
def forked_by(server: forkserver.ForkServer) -> Iterator[None]:
    """Start processes from this server in place of the usual one."""
    with patch.multiple(forkserver, **{name: getattr(server, name) for name in _FUNCTIONS}):
        yield


@contextmanager
def own_fork_server() -> Iterator[None]:
    """Start jobs from a server of their own, which is ended afterwards."""
    server = forkserver.ForkServer()
    with forked_by(server):
        try:
            yield
        finally:
            server._stop()  # type: ignore[attr-defined]
