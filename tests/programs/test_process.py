"""A program runs as it would without us: its exit code, its signals, its streams."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from bench.programs import process
from bench.programs.process import Ended, relaying_signals, run_program


def run(script: str, *arguments: str) -> Ended:
    with relaying_signals() as relay:
        return run_program(["sh", "-c", script, "sh", *arguments], os.environ, relay)


@pytest.mark.parametrize(
    ("script", "exit_code", "ended_by"),
    [
        ("exit 0", 0, None),
        ("exit 3", 3, None),
        ("kill -KILL $$", 128 + 9, 9),
        # Python ignores SIGPIPE; a program must not inherit that.
        ("kill -PIPE $$", 128 + 13, 13),
    ],
)
def test_how_it_ends(script: str, exit_code: int, ended_by: int | None) -> None:
    ended = run(script)
    assert (ended.exit_code, ended.ended_by, ended.stopped_by) == (exit_code, ended_by, None)


def signalled(script: str, number: signal.Signals, folder: Path) -> Ended:
    """Run a script that creates a file when it is ready, and then send this process a signal."""
    ready = folder / "ready"

    def send() -> None:
        while not ready.exists():
            time.sleep(0.001)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    ended = run(script, str(ready))
    thread.join()
    return ended


WAITING = 'trap "exit 7" {0}; touch "$1"; while :; do sleep 0.01; done'


@pytest.mark.parametrize("name", ["TERM", "HUP", "USR1", "INT"])
def test_a_signal_is_passed_on(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_has_terminal", lambda: False)
    number = signal.Signals[f"SIG{name}"]
    before = signal.getsignal(number)
    ended = signalled(WAITING.format(name), number, tmp_path)
    assert (ended.exit_code, ended.ended_by, ended.stopped_by) == (7, None, number)
    assert signal.getsignal(number) is before


def test_the_keys_of_a_terminal_reach_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal sends SIGINT to the whole group, so we must not send it again."""
    monkeypatch.setattr(process, "_has_terminal", lambda: True)
    script = 'trap "exit 7" INT; touch "$1"; sleep 0.1; exit 0'
    ended = signalled(script, signal.SIGINT, tmp_path)
    assert (ended.exit_code, ended.stopped_by) == (0, signal.SIGINT)


def test_a_program_that_cannot_be_started() -> None:
    with relaying_signals() as relay, pytest.raises(FileNotFoundError):
        run_program(["/no/such/program"], os.environ, relay)
