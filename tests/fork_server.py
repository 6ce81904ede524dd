"""Fork servers beside the usual one of multiprocessing, which is one for each process.

A test may kill one of its own, or let it import little or much, without an effect on other tests.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver, get_context, process, resource_tracker, util
from multiprocessing.process import BaseProcess
from typing import Any
from unittest.mock import patch

from bench.cli.ahead import preloaded_modules
from bench.launch.isolation import _as_plain_process
from bench.launch.server import server_modules

_FUNCTIONS = ("ensure_running", "connect_to_new_process", "set_forkserver_preload")


class JobServer(forkserver.ForkServer):
    """Imports what all commands import for their jobs, once."""

    def __init__(self) -> None:
        super().__init__()
        self.set_forkserver_preload([])

    def set_forkserver_preload(self, modules_names: list[str]) -> None:
        """Keep to the modules of all commands."""
        first, *others, last = preloaded_modules("bench.training.job:run")
        others += ["bench.serving.job", "bench.drift.job", "tests.preload_forked_children"]
        super().set_forkserver_preload(server_modules([first, *others, last]))


class LightServer(forkserver.ForkServer):
    """Imports the module of the jobs, but not the libraries that only a real run needs."""

    def set_forkserver_preload(self, modules_names: list[str]) -> None:
        """Leave out what every command adds for its runs."""
        kept = [name for name in modules_names if not name.startswith("bench.runs.preload_")]
        super().set_forkserver_preload(kept)


class ForkedServer(forkserver.ForkServer):
    """Is a fork of this process, and so has what this process has imported, at once.

    For a process that is itself the fork of a server, so that no thread of it is lost.
    """

    def __init__(self) -> None:
        super().__init__()
        # A job whose command is gone removes the folder of its server, which must not be ours.
        process.current_process()._config.pop("tempdir", None)  # type: ignore[attr-defined]
        self.ensure_running()  # before this process holds a lock, or has anything else to share

    def ensure_running(self) -> None:
        """Fork instead of starting an interpreter."""
        resource_tracker.ensure_running()
        with patch.object(util, "spawnv_passfds", _fork):
            super().ensure_running()


def _fork(program: str, arguments: Sequence[str], files: Sequence[int]) -> int:
    """Fork a server that gets these files, and none of the others that are open here."""
    pid = os.fork()
    if pid:
        return pid
    try:
        before = 2
        for file in sorted(files):
            os.closerange(before + 1, file)
            before = file
        os.closerange(before + 1, os.sysconf("SC_OPEN_MAX"))
        listener, alive = files
        forkserver.main(listener, alive, [])
    finally:
        os._exit(1)


@contextmanager
def forked_by(server: forkserver.ForkServer) -> Iterator[None]:
    """Start processes from this server in place of the usual one."""
    with patch.multiple(forkserver, **{name: getattr(server, name) for name in _FUNCTIONS}):
        yield


@contextmanager
def own_fork_server(kind: type[forkserver.ForkServer] = forkserver.ForkServer) -> Iterator[None]:
    """Start jobs from a server of their own, which is ended afterwards."""
    server = kind()
    with forked_by(server):
        try:
            yield
        finally:
            server._stop()  # type: ignore[attr-defined]


def start_process(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a process from the server, without the program that pytest is."""
    started = get_context("forkserver").Process(target=target, args=arguments)
    with _as_plain_process():
        started.start()
    return started
