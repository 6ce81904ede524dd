"""A command server and its client, with a command that trains nothing (served.py)."""

from __future__ import annotations

import ast
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

import bench.maintain
import bench.serve
import bench.train
from bench.cli.command_server import JOBS
from bench.cli.sweep_report import Command
from bench.launch import command_client
from bench.launch.command_client import CommandServer, NotServed
from tests.cli.command import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "RANK": "1"}
_SERVE = """
from bench.cli import command_server
command_server.JOBS["tests.cli.served"] = "tests.launch.jobs"
# Without the libraries of real runs, and without looking the processor up.
command_server.PROCESSOR_MODULE = "tests.cli.served"
command_server.preloaded_modules = lambda job: ["tests.cli.served", job]
raise SystemExit(command_server.main())
"""
Start = Callable[[], CommandServer]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers; they are stopped afterwards."""
    servers: list[CommandServer] = []

    def call() -> CommandServer:
        folder = tmp_path_factory.mktemp("server")
        command = [sys.executable, "-c", _SERVE, "tests.cli.served"]
        servers.append(CommandServer(command, folder, ENVIRONMENT, folder / "log-server.txt"))
        servers[-1].wait_until_ready()
        return servers[-1]

    yield call
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def server(start: Start) -> CommandServer:
    return start()


def told(server: CommandServer, log: Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit code of a run, and what it printed."""
    code = server.run(arguments, log)
    return code, log.read_text().splitlines()


def test_each_run_finds_arguments_variables_and_streams_of_its_own(
    server: CommandServer, tmp_path: Path
) -> None:
    logs = [told(server, tmp_path / f"log-{num}.txt", "tell", f"repeat={num}") for num in (0, 1)]
    for num, (code, lines) in enumerate(logs):
        assert code == 0
        assert f"argv ['repeat={num}']" in lines
        # What a run has set is gone. Nobody else reads the requests.
        assert {"variable None", "input "} <= set(lines)
    pids = {line for _, lines in logs for line in lines if line.startswith("pid")}
    assert len(pids) == 1


def test_a_run_ends_as_its_command_would(server: CommandServer, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert told(server, log, "exit", "5") == (5, [])
    assert told(server, log, "leave", "a message") == (1, ["a message"])
    code, lines = told(server, log, "break")
    assert (code, lines[-1]) == (1, "RuntimeError: a defect")
    assert told(server, log, "exit", "0") == (0, [])  # and the server goes on


def test_runs_come_from_one_fork_server_until_it_is_renewed(
    server: CommandServer, tmp_path: Path
) -> None:
    def fork_server() -> str:
        code, (line,) = told(server, tmp_path / "log.txt", "fork", str(tmp_path / "job.txt"))
        assert code == 0
        return line

    before = [fork_server(), fork_server()]
    server.start_renewing()
    assert server.finish_renewing() == 0
    after = [fork_server(), fork_server()]
    assert (len(set(before)), len(set(after)), len({*before, *after})) == (1, 1, 2)
    assert not psutil.pid_exists(int(before[0])) or not is_running(int(before[0]))
    # As a command does before it starts one: a job must not take itself for one of many ranks.
    assert "RANK" not in psutil.Process(int(after[0])).environ()


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def in_background(server: CommandServer, log: Path) -> list[int]:
    """Start a run that waits, and return once it does; its exit code comes later."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(server.run(["wait"], log)))
    thread.start()
    deadline_s = time.monotonic() + 60
    while not log.exists() or not log.read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    server._thread = thread  # type: ignore[attr-defined]  # for the test to join
    return codes


def test_at_the_end_of_the_input_a_run_is_interrupted_and_nothing_is_left(
    start: Start, tmp_path: Path
) -> None:
    """The kernel closes the pipe of a bench.ab that was killed."""
    server, log = start(), tmp_path / "log.txt"
    codes = in_background(server, log)
    process = server._process
    tree = psutil.Process(process.pid).children(recursive=True)
    assert tree  # its fork server
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) != 0
    server._thread.join()  # type: ignore[attr-defined]
    assert codes[0] != 0
    assert log.read_text() == "ready\ninterrupted\n"
    psutil.wait_procs(tree, timeout=60)
    assert not any(is_running(each.pid) for each in tree)


def test_a_server_that_is_killed_ends_the_run_with_its_signal(start: Start, tmp_path: Path) -> None:
    server = start()
    codes = in_background(server, tmp_path / "log.txt")
    os.kill(server._process.pid, signal.SIGKILL)
    server._thread.join()  # type: ignore[attr-defined]
    assert codes == [-signal.SIGKILL]
    assert server.run(["exit", "0"], tmp_path / "log.txt") == -signal.SIGKILL


def test_stopping_interrupts_the_run(start: Start, tmp_path: Path) -> None:
    server, log = start(), tmp_path / "log.txt"
    server._request({"do": "run", "arguments": ["wait"], "log": str(log)})
    while not log.exists() or not log.read_text():
        time.sleep(0.01)
    server.stop()
    assert log.read_text() == "ready\ninterrupted\n"


def hello(folder: Path, line: str) -> CommandServer:
    command = [sys.executable, "-c", f"print({line!r})"]
    return CommandServer(command, folder, ENVIRONMENT, folder / "log-server.txt")


def test_a_revision_without_a_server_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.cli.no_such_server", "bench.train"]
    server = CommandServer(command, ROOT, ENVIRONMENT, tmp_path / "log-server.txt")
    with pytest.raises(NotServed, match=r"No module named bench\.cli\.no_such_server$"):
        server.wait_until_ready()
    server.stop()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps({"protocol": command_client.PROTOCOL + 1}), "is of another version"),
        ("no reply", "its server ended with 0"),
    ],
)
def test_another_protocol_is_not_served(line: str, message: str, tmp_path: Path) -> None:
    server = hello(tmp_path, line)
    with pytest.raises(NotServed, match=message):
        server.wait_until_ready()
    server.stop()


@pytest.mark.parametrize("module", [bench.train, bench.serve, bench.maintain])
def test_the_fork_server_imports_what_the_command_would_let_it_import(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Command] = []

    def note(_: str, load: Callable[[], Command]) -> int:
        asked.append(load())
        return 0

    monkeypatch.setattr("bench.cli.sweep.run_command", note)
    monkeypatch.setattr(sys, "argv", ["command"])
    assert module.main() == 0
    assert JOBS[module.__name__] == asked[0].job.partition(":")[0]


def test_a_real_command_is_served(tmp_path: Path) -> None:
    """With all that its fork server imports, which the tests above leave out."""
    words = ["-m", "bench.cli.command_server", "bench.train", "experiment=smoke"]
    command, log = [sys.executable, *words], tmp_path / "log.txt"
    server = CommandServer(command, tmp_path, ENVIRONMENT, tmp_path / "log-server.txt")
    try:
        server.wait_until_ready()
        code, lines = told(server, log, "experiment=smoke", "results=results", "codecarbon=none")
        assert code == 0, lines
    finally:
        server.stop()
    (record,) = tmp_path.glob("results/train/*/run.json")
    assert json.loads(record.read_text())["status"] == "ok"


def test_every_command_that_makes_runs_is_served() -> None:
    sources = {f"bench.{path.stem}": path.read_text() for path in (ROOT / "bench").glob("*.py")}
    names = {
        name
        for name, text in sources.items()
        if any(
            isinstance(node, ast.Name) and node.id == "run_command"
            for node in ast.walk(ast.parse(text))
        )
    }
    assert names == set(JOBS)
