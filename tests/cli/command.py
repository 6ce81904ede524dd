"""Runs the real command in a subprocess, in a folder of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.core.records import RunRecord
from bench.core.store import read_record

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


def environment(folder: Path) -> dict[str, str]:
    """A lock and a home of its own: tests do not wait for one another or leave anything behind."""
    beside = folder.with_name(f"{folder.name}-home")
    beside.mkdir(exist_ok=True)
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "BENCH_LOCK": str(beside / "lock"),
        "HOME": str(beside),
        "COLUMNS": "200",
        "HYDRA_FULL_ERROR": "0",
    }


# Whatever a failing test leaves of these is ended: see conftest.py.
STARTED: list[subprocess.Popen[str]] = []


def start(folder: Path, *arguments: str, module: str = "bench.train") -> subprocess.Popen[str]:
    """Start `python -m bench.train`, or another command, with these arguments in this folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def train(folder: Path, *arguments: str) -> Answer:
    """Run `python -m bench.train` to its end."""
    return _ended(start(folder, *arguments))


def serve(folder: Path, *arguments: str) -> Answer:
    """Run `python -m bench.serve` to its end."""
    return _ended(start(folder, *arguments, module="bench.serve"))


def _ended(process: subprocess.Popen[str]) -> Answer:
    out, err = process.communicate(timeout=240)
    return Answer(code=process.returncode, out=out, err=err)


def records(folder: Path, command: str = "train") -> list[RunRecord]:
    """The records of all runs of a command, in the order in which they were started."""
    runs = [read_record(path) for path in (folder / "results" / command).iterdir()]
    return sorted(runs, key=lambda record: record.started_utc)
