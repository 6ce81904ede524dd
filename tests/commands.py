"""Shared by all tests of commands: the fast Hydra, and the end of their processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.command import STARTED
from tests.cli.quick_hydra import quick_hydra


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
