"""Stand-ins for SLURM's commands: each prints what a test wants, and notes how it was called."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

# The columns of squeue, as bench.launch.slurm asks for them.
WIDTHS = (48, 20, 12, 128, 96)


def queued(*cells: str) -> str:
    """A line of squeue: job, state, exit code as of wait(), node, reason."""
    return "".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))


class SlurmCommands:
    """A folder of stand-ins that is the only one on PATH besides the system's.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        self._calls = folder / "calls.txt"
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def add(self, name: str, *lines: str, error: str = "", code: int = 0) -> None:
        """Make a command that prints lines, and an error, and ends with an exit code."""
        script = self.folder / name
        script.write_text(
            "#!/bin/sh\n"
            f'echo {name} "$@" >> {shlex.quote(str(self._calls))}\n'
            + "".join(f"echo {shlex.quote(line)}\n" for line in lines)
            + (f"echo {shlex.quote(error)} >&2\n" if error else "")
            + f"exit {code}\n"
        )
        script.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        """The arguments of each call of a command."""
        if not self._calls.exists():
            return []
        lines = [line.partition(" ") for line in self._calls.read_text().splitlines()]
        return [arguments for command, _, arguments in lines if command == name]


def no_slurm(monkeypatch: pytest.MonkeyPatch, empty: Path) -> None:
    """A PATH without any command of SLURM."""
    empty.mkdir()
    for name in ("sh", "env"):
        os.symlink(f"/bin/{name}", empty / name)
    monkeypatch.setenv("PATH", str(empty))
