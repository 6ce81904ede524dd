"""Runs of two revisions in turn: base, head, head, base, so that a drift of the machine hits both.

Each run is a fresh process that is started from here: children of one process would share its
layout in memory, and a difference between two of those layouts would look like one between the
revisions.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.files import last_lines
from bench.core.find import runs_below
from bench.launch.child import GRACE_S
from bench.launch.environment import environment_of, hides_suite, python_of
from bench.launch.repository import Repository, without_hook

_NUM_LINES = 12  # of a log, in a message
_MOST_BYTES = 20_000


class RunFailed(Exception):  # noqa: N818 -- says what happened to the run
    """A run ended with an error, or left no record; the message has the end of its log."""


class InstallFailed(RunFailed):
    """A revision could not be installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The program that is run at each revision.

    Attributes:
        module: As `python -m` takes it.
        arguments: Gives the arguments of a run from its results folder and its repeat.
        python: See python_of.
        default_python: That of the command.
        install: A shell command, or None.
        environment: That of the command.
    """

    module: str
    arguments: Callable[[Path, int], Sequence[str]]
    python: str | None
    default_python: str
    install: str | None
    environment: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Arm:
    """A revision that is run.

    Attributes:
        name: `base` or `head`.
        revision: For people.
        worktree: Where it is checked out.
        results: Where its runs go; its log files too.
        num_runs: Made so far, those to warm up aside.
    """

    name: str
    revision: str
    worktree: Path
    results: Path
    num_runs: int = 0
    python: str = field(default="", init=False)
    environment: dict[str, str] = field(default_factory=dict, init=False)


class Interleaved:
    """Two revisions, run in turn."""

    def __init__(
        self,
        repository: Repository,
        program: Program,
        arms: tuple[Arm, Arm],
        on_step: Callable[[str], None],
    ) -> None:
        """Nothing is started.

        Args:
            repository: What the arms are revisions of.
            program: What is run of them.
            arms: Base and head.
            on_step: Called with what is done next.
        """
        self._repository = repository
        self._program = program
        self._arms = arms
        self._on_step = on_step

    @property
    def num_runs(self) -> int:
        """Number of runs made of each side, without warm-up runs."""
        return min(arm.num_runs for arm in self._arms)

    def prepare(self, num_warmups: int, warmup_results: Path) -> None:
        """Install both revisions, and make warm-up runs of each to see that it can be run.

        Args:
            num_warmups: Runs of each; they fill the cache of the disk and compile what is imported.
            warmup_results: Where these go, in a folder for each side.

        Raises:
            InstallFailed: A revision could not be installed.
            RunFailed: A run failed.
            ValueError: There is no such folder in a revision, or its interpreter cannot be run.
        """
        for arm in self._arms:
            self._install(arm)
        for repeat in range(num_warmups):
            for arm in self._arms:
                self._on_step(f"{arm.name}: warm-up {repeat + 1} of {num_warmups}")
                self._run(arm, warmup_results / arm.name, repeat)

    def round(self) -> None:
        """Two runs of each: base, head, head, base.

        Raises:
            RunFailed: A run failed.
        """
        for arm in (*self._arms, *reversed(self._arms)):
            self._on_step(f"{arm.name}: run {arm.num_runs + 1}")
            self._run(arm, arm.results, arm.num_runs)
            arm.num_runs += 1

    def _folder(self, arm: Arm) -> Path:
        return arm.worktree / self._repository.inside

    def _install(self, arm: Arm) -> None:
        folder = self._folder(arm)
        if not folder.is_dir():
            raise ValueError(
                f"{arm.name}: {arm.revision} has no folder {self._repository.inside}; start the "
                "command in one that both revisions have"
            )
        program = self._program
        if program.install is not None:
            self._on_step(f"{arm.name}: {program.install}")
            log = arm.results / "install.txt"
            shell = ["/bin/sh", "-c", program.install]
            if code := _logged(shell, folder, without_hook(program.environment), log):
                what = "could not be installed"
                raise InstallFailed(_failure(arm, what, code, program.install, log))
        arm.python = python_of(program.python, program.default_python, folder)
        arm.environment = environment_of(
            program.environment, arm.python, self._repository, arm.worktree, program.module
        )

    def _run(self, arm: Arm, results: Path, repeat: int) -> None:
        module = self._program.module
        # Without -P, Python would search the folder that it is run in before all others.
        safe = ["-P"] if hides_suite(self._repository, arm.worktree, module) else []
        command = [arm.python, *safe, "-m", module]
        command += self._program.arguments(results, repeat)
        results.mkdir(parents=True, exist_ok=True)
        before = set(runs_below(str(results)))
        log = results / f"log-{repeat}.txt"
        code = _logged(command, self._folder(arm), arm.environment, log)
        what = f"run {repeat + 1} failed"
        if code:
            raise RunFailed(_failure(arm, what, code, shlex.join(command), log))
        if set(runs_below(str(results))) <= before:
            what = f"run {repeat + 1} left no run folder in {results}"
            raise RunFailed(_failure(arm, what, code, shlex.join(command), log))


def _logged(command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> int:
    """Run a command to its end, log its output, and give its exit code, negative for a signal.

    Raises:
        KeyboardInterrupt: This process was interrupted; the other was told and given time to end.
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
            start_new_session=True,  # Ctrl-C in a terminal reaches it once, through this process
        )
        try:
            return process.wait()
        except BaseException:
            _stop(process)
            raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask its process group to end, wait, and kill it if it does not."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(2 * GRACE_S)  # bench.train gives its own run GRACE_S
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _signal_name(number: int) -> str:
    """The name of a signal; most real-time signals have none."""
    names = {int(each): each.name for each in signal.Signals}
    return names.get(number, f"signal {number}")


def _failure(arm: Arm, what: str, code: int, command: str, log: Path) -> str:
    """What failed, the command, and the end of its log."""
    how = f"by {_signal_name(-code)}" if code < 0 else f"with exit code {code}"
    last = last_lines(log, _NUM_LINES, most_bytes=_MOST_BYTES)
    lines = [
        f"{arm.name}, {arm.revision}: {what}: ended {how}: {command}",
        f"  the end of {log}:" if last else f"  it printed nothing ({log})",
        *(f"    {line}" for line in last),
    ]
    return "\n".join(lines)
