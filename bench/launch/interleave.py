"""Runs two revisions in turn: base, head, head, base, so that a drift of the machine affects both.

Each run is a fresh process that this one starts. Runs that were forked from one server per revision
would share its memory layout, and a difference between the two layouts would look like a difference
between the revisions.
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
from bench.launch.environment import hides_suite, interpreter_path, run_environment
from bench.launch.repository import Repository, drop_hook_variables
from bench.launch.stopping import signal_name

_NUM_LINES = 12  # lines of a log in an error message
_MOST_BYTES = 20_000


class RunFailed(Exception):  # noqa: N818 -- says what happened to the run
    """A run ended with an error, or left no record; the message contains the end of its log."""


class InstallFailed(RunFailed):
    """A revision could not be installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The program to run at each revision.

    Attributes:
        module: The module that `python -m` runs.
        arguments: Returns the arguments of a run, from its results folder and its repeat.
        python: The interpreter; see interpreter_path.
        install: A shell command that installs the revision, or None.
        environment: The environment of the command.
    """

    module: str
    arguments: Callable[[Path, int], Sequence[str]]
    python: str
    install: str | None
    environment: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Arm:
    """One of the two revisions.

    Attributes:
        name: `base` or `head`.
        revision: The revision in a form for people.
        worktree: The top folder of its worktree.
        results: The folder for its runs and log files.
        num_runs: Number of runs so far, without warm-up runs.
    """

    name: str
    revision: str
    worktree: Path
    results: Path
    num_runs: int = 0
    python: str = field(default="", init=False)
    environment: dict[str, str] = field(default_factory=dict, init=False)


class Interleaved:
    """Runs two revisions in turn."""

    def __init__(
        self,
        repository: Repository,
        program: Program,
        arms: tuple[Arm, Arm],
        on_step: Callable[[str], None],
    ) -> None:
        """Start nothing yet.

        Args:
            repository: The repository of the revisions.
            program: The program to run.
            arms: Base and head.
            on_step: Called before each step with its description.
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
        """Install both revisions, and make warm-up runs of each.

        Warm-up runs fill the disk cache, compile imported modules, and show that a revision works.

        Args:
            num_warmups: Number of warm-up runs of each revision.
            warmup_results: The folder for these runs, with a folder for each side.

        Raises:
            InstallFailed: A revision could not be installed.
            RunFailed: A run failed.
            ValueError: A revision does not have the folder that the command was started in, or its
                interpreter cannot be run.
        """
        for arm in self._arms:
            self._install(arm)
        for repeat in range(num_warmups):
            for arm in self._arms:
                self._on_step(f"{arm.name}: warm-up {repeat + 1} of {num_warmups}")
                self._run(arm, warmup_results / arm.name, repeat)

    def round(self) -> None:
        """Make two runs of each revision: base, head, head, base.

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
            environment = drop_hook_variables(program.environment)
            if code := _run_logged(shell, folder, environment, log):
                what = "could not be installed"
                raise InstallFailed(_failure_message(arm, what, code, program.install, log))
        arm.python = interpreter_path(program.python, folder)
        arm.environment = run_environment(
            program.environment, arm.python, self._repository, arm.worktree, program.module
        )

    def _run(self, arm: Arm, results: Path, repeat: int) -> None:
        module = self._program.module
        # Without -P, Python would search its working directory before all other folders.
        safe = ["-P"] if hides_suite(self._repository, arm.worktree, module) else []
        command = [arm.python, *safe, "-m", module]
        command += self._program.arguments(results, repeat)
        results.mkdir(parents=True, exist_ok=True)
        before = set(runs_below(str(results)))
        log = results / f"log-{repeat}.txt"
        code = _run_logged(command, self._folder(arm), arm.environment, log)
        if code:
            what = f"run {repeat + 1} failed"
        elif set(runs_below(str(results))) <= before:
            what = f"run {repeat + 1} left no run folder in {results}"
        else:
            return
        raise RunFailed(_failure_message(arm, what, code, shlex.join(command), log))


def _run_logged(
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
            return process.wait()
        except BaseException:
            _stop(process)
            raise


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt a process group, wait, and kill it if it does not end."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(2 * GRACE_S)  # bench.train gives its own run GRACE_S
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failure_message(arm: Arm, what: str, code: int, command: str, log: Path) -> str:
    """Say what failed, with the command and the end of its log."""
    how = f"by {signal_name(-code)}" if code < 0 else f"with exit code {code}"
    last = last_lines(log, _NUM_LINES, most_bytes=_MOST_BYTES)
    lines = [
        f"{arm.name}, {arm.revision}: {what}: ended {how}: {command}",
        f"  the end of {log}:" if last else f"  it printed nothing ({log})",
        *(f"    {line}" for line in last),
    ]
    return "\n".join(lines)
