"""A GPU is as before after each run of a command, also if the run or a command was killed."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.cli.fresh_process import FreshProcesses
from bench.cli.terminal import RunCounter
from bench.core.store import new_identity
from bench.launch.isolation import Ending
from bench.launch.job import Job
from tests.cli.limited_gpu import BEFORE, SET, STATE
from tests.fork_server import LightServer, own_fork_server


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file with the limit and the clock of the card."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(STATE, str(tmp_path / "gpu.json"))
    (tmp_path / "gpu.json").write_text(json.dumps(BEFORE))
    with own_fork_server(LightServer):
        yield tmp_path / "gpu.json"


def test_whoever_is_killed_the_card_is_put_back(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    console = Console(file=out, width=200)
    processes = FreshProcesses(
        "tests.cli.limited_gpu:end_in_some_way",
        console,
        RunCounter(console),
        num_runs=3,
        shows_progress=False,
    )

    def measure(ends: str) -> Ending:
        config: dict[str, Any] = {"ends": ends, "shared": True, "progress": False}
        identity = new_identity("train", "0" * 12, 0, 0)
        return processes.measure(
            Job(identity=identity, folder=state.parent, title="", config=config, host={})
        )

    def card() -> Any:
        return json.loads(state.read_text())

    for ends, code in (("well", 0), ("failed", 1)):
        assert measure(ends).exit_code == code
        assert (card(), out.getvalue()) == (BEFORE, "")

    assert measure("killed").signal_name == "SIGKILL"
    assert card() == BEFORE
    assert "note: gpu0 (Fake RTX): the power limit is 300 W again and the clock" in out.getvalue()

    # Of a command that is killed with its run, the next command finds the note.
    with monkeypatch.context() as patch:
        patch.setattr(FreshProcesses, "_restore_gpus", lambda *_: None)
        measure("killed")
        assert card() == SET
    out.truncate(0)
    assert measure("well").exit_code == 0  # it would be refused on a card that another run has set
    assert card() == BEFORE
    assert "had been killed" in out.getvalue()
