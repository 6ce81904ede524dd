"""What the tests of the gate's commands share: a fork server, and an interpreter that is not asked.

Commands that run in processes of their own ask the interpreter as they do for a user.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bench.launch import environment
from tests.cli.forked import ForkServer, fork_server


@pytest.fixture(scope="session")
def commands() -> Iterator[ForkServer]:
    """Runs the commands of the gate in processes of their own."""
    with fork_server("tests.gate.run.preload_commands") as server:
        yield server


@pytest.fixture(autouse=True)
def _this_interpreter_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would find no code of the working tree: the made repositories are not installed."""
    ask = environment._read_json

    def answer(question: list[str], variables: Mapping[str, str], cwd: Path) -> Any:
        if question[:3] == [sys.executable, "-c", environment._SEARCH]:
            return [[], []]
        return ask(question, variables, cwd)

    monkeypatch.setattr(environment, "_read_json", answer)
