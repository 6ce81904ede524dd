"""Shared by all tests of commands: the fast Hydra, a fork server, and the end of its processes."""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing import forkserver

import pytest

from tests.cli.command import JOBS, STARTED
from tests.cli.quick_hydra import quick_hydra


@pytest.fixture(scope="module", autouse=True)
def _hydra_is_quick() -> Iterator[None]:
    with quick_hydra():
        yield


@pytest.fixture(scope="module", autouse=True)
def _fork_server_has_the_libraries() -> None:
    """Whichever test starts it: all jobs of this worker come from it."""
    forkserver.set_forkserver_preload(JOBS)


@pytest.fixture(autouse=True)
def _no_command_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()
