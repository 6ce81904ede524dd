"""Runs a command with its output in a log file, and stops it together with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.core.files import last_lines
from bench.launch.child import GRACE_S
from bench.launch.isolation import watch
from bench.launch.stopping import signal_name, wait_for

_NUM_LINES = 12  # of a log in an error message
_MOST_BYTES = 20_000


def run_logged(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> int:
    """Run a command, log its output, and return its exit code, which is negative for a signal.

    Raises:
        KeyboardInterrupt: This process was interrupted; the command was too, and had time to end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # so Ctrl-C in a terminal reaches it once, from this process
        )
        try:
            _wait_for_end(process.pid)
            return process.wait()
        except BaseException:
            stop_process(process)
            raise


def _wait_for_end(pid: int) -> None:
    """Wait until a process has ended, and be interrupted by any signal meanwhile."""
    ended = watch(pid)
    if ended is None:
        return
    try:
        wait_for([ended])
    finally:
        os.close(ended)


def how_it_ended(code: int, command: str, log: Path) -> str:
    """Say how a command failed, with the command and the end of its log."""
    how = f"by {signal_name(-code)}" if code < 0 else f"with exit code {code}"
    last = last_lines(log, _NUM_LINES, most_bytes=_MOST_BYTES)
    lines = [
        f"ended {how}: {command}",
        f"  the end of {log}:" if last else f"  it printed nothing ({log})",
        *(f"    {line}" for line in last),
    ]
    return "\n".join(lines)


def stop_process(process: subprocess.Popen[Any]) -> None:
    """Interrupt a process group, wait, and kill it if it does not end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    wait_or_kill(process)


def wait_or_kill(process: subprocess.Popen[Any]) -> int:
    """Wait for a process that is about to end; kill its group if it does not. Its exit code."""
    try:
        return process.wait(2 * GRACE_S)  # bench.train gives its own run GRACE_S
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.wait()
