"""What the fork server of a command does before its first job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.launch.isolation import Ending, ForkServer

pytestmark = pytest.mark.xdist_group("jobs")


def told_by(job: str, folder: Path) -> Any:
    """What a job tells; the server of all tests with jobs imports what that of a command does."""
    heard: list[Any] = []
    log = folder / "log"
    run = ForkServer([]).run
    ending = run(f"tests.runs.inherited:{job}", None, log=log, on_message=heard.append)
    assert ending == Ending(exit_code=0, signal_name=None), log.read_text()
    (told,) = heard
    return told


def test_jobs_inherit_what_the_server_has_looked_up_and_frozen(tmp_path: Path) -> None:
    told = told_by("tell", tmp_path)
    assert told["looked_up"] == told["cpu_name"]
    assert told["num_frozen"] > 100_000  # torch and Lightning; a bare Python has some thousands


def test_jobs_have_what_they_need_of_torchmetrics_and_get_the_rest_when_they_ask_for_it(
    tmp_path: Path,
) -> None:
    told = told_by("use_metrics", tmp_path)
    assert told.pop("version").startswith("1.")
    assert told.pop("optional_before") == []
    assert "scipy.signal" in told.pop("optional_after")
    assert all(told.values()), told
