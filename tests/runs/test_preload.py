"""What the fork server of a command does before its first job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.cli.ahead import preloaded_modules
from bench.launch.isolation import Ending, ForkServer
from tests.fork_server import own_fork_server

pytestmark = pytest.mark.xdist_group("jobs")


def test_jobs_inherit_what_the_server_has_looked_up_and_frozen(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[Any] = []
    with own_fork_server():
        server = ForkServer(preload=preloaded_modules("bench.core.host:cpu_name"))
        ending = server.run(
            "tests.runs.inherited:tell", None, log=tmp_path / "log", on_message=heard.append
        )
    assert ending == Ending(exit_code=0, signal_name=None), (tmp_path / "log").read_text()
    (told,) = heard
    assert told["looked_up"] == told["cpu_name"]
    assert told["num_frozen"] > 100_000  # torch and Lightning; a bare Python has some thousands
    assert capfd.readouterr() == ("", "")  # the warnings of libraries belong to the logs of runs
