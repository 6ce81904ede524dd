"""Shared by all tests of commands: the fast Hydra, a fork server, and the end of its processes."""

from __future__ import annotations

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from bench.launch.isolation import ForkServer
from tests.cli.command import STARTED
from tests.cli.quick_hydra import quick_hydra
from tests.fork_server import JobServer, forked_by


@pytest.fixture(scope="session", autouse=True)
def _jobs_come_from_one_server() -> Iterator[None]:
    """It starts with the first job. Tests with jobs are one group, so only one worker has it.

    Commands that run in this process do not start it ahead: most of them make no run.
    """
    with forked_by(JobServer()), patch.object(ForkServer, "begin_imports"):
        yield


@pytest.fixture(scope="module", autouse=True)
def _hydra_is_quick() -> Iterator[None]:
    with quick_hydra():
        yield


@pytest.fixture(autouse=True)
def _no_command_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()
