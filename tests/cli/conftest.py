"""Commands that tests start end with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.command import STARTED


@pytest.fixture(autouse=True)
def _no_command_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()
