"""Runs commands in processes of their own that need not import everything anew.

A server process imports a few modules once. Each command is a fork of it, and from there on a
process like any other: it has its own arguments, folder, variables and streams, takes signals, and
ends as Python ends a program. So a test still sees the exit code that a user sees.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cli.command import ROOT, Answer, environment

_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class ForkServer:
    """A process that has imported what the commands need."""

    process: subprocess.Popen[str]

    def run(
        self,
        folder: Path,
        program: str,
        *arguments: str,
        out: Path | None = None,
        **variables: str,
    ) -> Answer:
        """Run a command to its end.

        Args:
            folder: The current folder of the command.
            program: A module, as `python -m` takes it, or the lines of a program, as `python -c`.
            arguments: What stands on its command line.
            out: Where its output goes, in place of the answer.
            variables: In addition to those of `environment`.
        """
        beside = folder.with_name(f"{folder.name}-streams")
        beside.mkdir(exist_ok=True)
        own_out, err = beside / "out.txt", beside / "err.txt"
        order = {
            "program": program,
            "arguments": arguments,
            "folder": str(folder),
            "variables": {**environment(folder), **variables},
            "out": str(out or own_out),
            "err": str(err),
        }
        for path in (own_out, err):
            path.write_text("")
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        timer = threading.Timer(_PATIENCE_S, self.kill)
        timer.start()
        code = self.process.stdout.readline()
        timer.cancel()
        assert code, f"{program} did not end within {_PATIENCE_S:g} s"
        return Answer(code=int(code), out=own_out.read_text(), err=err.read_text())

    def kill(self) -> None:
        """End it, and the command that it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)


@contextmanager
def fork_server(*modules: str) -> Iterator[ForkServer]:
    """Start a server that has imported these modules; it ends with the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.forked_server", *modules],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:  # closes its input, which ends it, and waits for it
        yield ForkServer(process)
