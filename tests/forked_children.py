"""Starts servers and retrainings as forks of the process that asks for them.

A fork has the libraries that a new interpreter would import for seconds. Otherwise it is like the
real process: spawn.py makes it the module, and it has its arguments, variables, streams and files.
tests/serving/http/test_process.py and tests/serving/test_retraining.py start real processes.
"""

from __future__ import annotations

import logging
import math
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from typing import IO, Any
from unittest.mock import patch

import bench.serving.http.server  # noqa: F401 -- what it imports is what its forks need
from bench.launch.stopping import STOP_SIGNALS
from bench.serving.http import process, spawn


class Forked:
    """Has what bench.serving.http.process uses of a Popen object."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdout: IO[bytes],
        pass_fds: Sequence[int],
        env: Mapping[str, str],
    ) -> None:
        """Fork.

        Args:
            command: An interpreter that runs spawn.py, which becomes `python -P -m MODULE ...`.
            stdout: Where its output and errors go.
            pass_fds: Descriptors that it keeps.
            env: Its variables.
        """
        self._process = get_context("fork").Process(
            target=_become, args=(command, stdout.fileno(), pass_fds, env)
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def poll(self) -> int | None:
        """How it has ended; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait until it has ended.

        Not by join(), which takes a process that has closed its descriptors for one that has ended.
        """
        deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while (code := self.poll()) is None:
            if time.monotonic() >= deadline_s:
                raise subprocess.TimeoutExpired("a fork", timeout_s or 0.0)
            time.sleep(0.002)
        return code


def _become(
    command: Sequence[str], output: int, kept: Sequence[int], variables: Mapping[str, str]
) -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    logging.root.handlers.clear()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    before = 2
    for descriptor in sorted(kept):
        os.closerange(before + 1, descriptor)
        before = descriptor
    os.closerange(before + 1, os.sysconf("SC_OPEN_MAX"))
    sys.stdout, sys.stderr = (os.fdopen(each, "w", buffering=1, closefd=False) for each in (1, 2))
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = variables["PYTHONPATH"].split(os.pathsep)
    arguments = command[command.index(str(spawn.__file__)) + 1 :]
    with patch.object(os, "execv", _run_module):
        spawn.main(list(arguments))


def _run_module(python: str, command: Sequence[str]) -> None:
    path, _, _, module, *arguments = command
    assert python == path == sys.executable
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _start(command: Sequence[str], **options: Any) -> Forked | subprocess.Popen[bytes]:
    """Fork for a module; start any other program, such as that of an emulated network."""
    if "-m" not in command:
        return subprocess.Popen(command, **options)
    kept = {name: options[name] for name in ("stdout", "pass_fds", "env")}
    return Forked(command, **kept)


class _Subprocess:
    """Takes the place of the module subprocess."""

    Popen = staticmethod(_start)

    def __getattr__(self, name: str) -> Any:
        return getattr(subprocess, name)


@contextmanager
def forked_children() -> Iterator[None]:
    """Fork for each server and retraining that is started in the block."""
    with patch.object(process, "subprocess", _Subprocess()):
        yield
