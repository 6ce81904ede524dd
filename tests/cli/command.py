"""Runs the real commands in a folder of their own: in this process, or in one that can be killed.

A command that runs to its end runs here: its jobs are fresh processes in any case, and the fork
server that they come from imports the libraries once for all tests of a worker.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from hydra.core.global_hydra import GlobalHydra

import bench.serve
import bench.train
from bench.cli.app import sweep_id
from bench.cli.multirun import MULTIRUN
from bench.core.counting import start_order
from bench.core.records.run import RunRecord
from bench.core.store import read_record
from bench.launch.needs import forget
from bench.launch.stopping import STOP_SIGNALS
from bench.runs import find as runs
from bench.serving import plan as plan_serve

ROOT = Path(__file__).parents[2]
_PREPARING = re.compile(
    r"checking \d+ jobs?|run 1 of \d+.*: importing the libraries"
    r"|importing the libraries to check what the run needs"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    def lines(self) -> list[str]:
        """What is in `err`, without what a sweep says while it prepares its first run."""
        return [line for line in self.err.splitlines() if not _PREPARING.fullmatch(line)]


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


# As torchrun or Slurm sets them for the second of two processes that it starts.
LAUNCHER_VARIABLES = {
    "LOCAL_RANK": "1",
    "NODE_RANK": "1",
    "RANK": "1",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "TORCHELASTIC_RUN_ID": "none",
    "WORLD_SIZE": "4",
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


def train(folder: Path, *arguments: str, on_err: Callable[[str], None] | None = None) -> Answer:
    """Run bench.train to its end, in this process."""
    return run_here(folder, bench.train.main, *arguments, on_err=on_err)


def serve(folder: Path, *arguments: str) -> Answer:
    """Run bench.serve to its end, in this process."""
    return run_here(folder, bench.serve.main, *arguments)


@contextmanager
def own_modules(folder: Path) -> Iterator[None]:
    """Have Python find the modules of a folder, as it does for a command started there."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        try:
            yield
        finally:
            for name in set(sys.modules) - before:
                file = getattr(sys.modules[name], "__file__", None)
                if file is not None and Path(file).is_relative_to(folder):
                    del sys.modules[name]


class _Watched(io.StringIO):
    """Hands on what is written, while the command runs."""

    def __init__(self, on_write: Callable[[str], None] | None) -> None:
        super().__init__()
        self._on_write = on_write

    def write(self, text: str) -> int:
        if self._on_write is not None:
            self._on_write(text)
        return super().write(text)


def run_here(
    folder: Path,
    command: Callable[[], int],
    *arguments: str,
    on_err: Callable[[str], None] | None = None,
) -> Answer:
    """Run the main function of a command to its end, in this process.

    Args:
        folder: The current folder while it runs.
        command: The main function.
        arguments: What stands on its command line.
        on_err: Called with what it prints to stderr, as it does.
    """
    out, err = io.StringIO(), _Watched(on_err)
    with _as_if_new(environment(folder)), chdir(folder), redirect_stdout(out), redirect_stderr(err):
        sys.argv = [inspect.getfile(command), *arguments]
        try:
            code = command()
        except SystemExit as ended:  # Hydra's --help and the like
            code = int(ended.code or 0)
    return Answer(code=code, out=out.getvalue(), err=err.getvalue())


@contextmanager
def _as_if_new(variables: Mapping[str, str]) -> Iterator[None]:
    """What a command finds in a process of its own, and leaves behind with it."""
    GlobalHydra.instance().clear()
    sweep_id.cache_clear()
    runs.find_runs.cache_clear()
    runs.trained_record.cache_clear()
    plan_serve.servable_runs.cache_clear()
    forget()
    arguments, show_lost = sys.argv, sys.unraisablehook
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    loggers = [logging.root, *map(logging.getLogger, logging.root.manager.loggerDict)]
    logged = [(one, one.level, one.disabled, list(one.handlers)) for one in loggers]
    with mock.patch.dict(os.environ, variables, clear=True):
        try:
            yield
        finally:
            MULTIRUN.clear()
            sys.argv, sys.unraisablehook = arguments, show_lost
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for logger, level, disabled, own in logged:  # Hydra configures them anew
                if logger.level != level:  # setLevel() has all loggers forget what they have cached
                    logger.setLevel(level)
                logger.disabled, logger.handlers = disabled, own


def records(folder: Path, command: str = "train") -> list[RunRecord]:
    """The records of all runs of a command, in the order in which they were started."""
    runs = [read_record(path) for path in (folder / "results" / command).iterdir()]
    return sorted(runs, key=lambda record: start_order(record.run_id, record.started_utc))
