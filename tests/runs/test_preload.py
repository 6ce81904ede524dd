"""What the fork server of a command does before its first job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.launch.isolation import Ending, ForkServer

pytestmark = pytest.mark.xdist_group("jobs")


def test_jobs_inherit_what_the_server_has_looked_up_and_frozen(tmp_path: Path) -> None:
    """The server of all tests with jobs imports what that of a command does."""
    heard: list[Any] = []
    job, log = "tests.runs.inherited:tell", tmp_path / "log"
    ending = ForkServer([]).run(job, None, log=log, on_message=heard.append)
    assert ending == Ending(exit_code=0, signal_name=None), log.read_text()
    (told,) = heard
    assert told["looked_up"] == told["cpu_name"]
    assert told["num_frozen"] > 100_000  # torch and Lightning; a bare Python has some thousands
