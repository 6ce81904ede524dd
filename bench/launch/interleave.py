"""Runs two revisions in turn: base, head, head, base, so that a drift of the machine affects both.

Each side has a command server, which makes its runs without importing the command each time. What
it measures is a fork of a fork server, and shares its memory layout. So both sides get new fork
servers, at the same time and while nothing is measured, for as many runs as the user asks for. A
program that cannot be served is started anew for each run.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.find import runs_below
from bench.launch.command_client import CommandServer, NotServed
from bench.launch.environment import hides_suite, interpreter_path, run_environment
from bench.launch.logged import how_it_ended, run_logged
from bench.launch.repository import Repository, drop_hook_variables

UNSERVED = "each run is a whole command, which takes longer"


class RunFailed(Exception):  # noqa: N818 -- says what happened to the run
    """A run ended with an error, or left no record; the message contains the end of its log."""


class InstallFailed(RunFailed):
    """A revision could not be installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The program to run at each revision.

    Attributes:
        module: The module that `python -m` runs.
        server: The module of a command server for it; None if each run is a whole command.
        runs_per_server: Runs of a side from one fork server, at least 1.
        arguments: Returns the arguments of a run, from its results folder and its repeat.
        overrides: Those that all runs have: they decide what a server imports.
        python: The interpreter; see interpreter_path.
        install: A shell command that installs the revision, or None.
        environment: The environment of the command.
    """

    module: str
    server: str | None
    runs_per_server: int
    arguments: Callable[[Path, int], Sequence[str]]
    overrides: Sequence[str]
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
    server: CommandServer | None = field(default=None, init=False)


class Interleaved:
    """Runs two revisions in turn.

    Attributes:
        unserved: A remark on why there are no servers although the program may have one; it ends
            with UNSERVED. None if it has none, or is served.
    """

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
        self.unserved: str | None = None
        self._are_new = False  # the fork servers, which have made no run that is compared

    @property
    def runs_per_server(self) -> int:
        """Runs of a side that share a fork server; 1 if each run is a whole command."""
        return self._program.runs_per_server if self._is_served else 1

    @property
    def num_runs(self) -> int:
        """Number of runs made of each side, without warm-up runs."""
        return min(arm.num_runs for arm in self._arms)

    @contextmanager
    def prepared(self, num_warmups: int, warmup_results: Path) -> Iterator[None]:
        """Install both revisions, start their servers, and make warm-up runs; stop the servers.

        Warm-up runs fill the disk cache, compile imported modules, and show that a revision works.
        They come from the fork servers of the first runs: starting others would only take time.

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
        with self._servers():
            for repeat in range(num_warmups):
                for arm in self._arms:
                    self._on_step(f"{arm.name}: warm-up {repeat + 1} of {num_warmups}")
                    self._run(arm, warmup_results / arm.name, repeat)
            yield

    def round(self) -> None:
        """Make two runs of each revision: base, head, head, base.

        Raises:
            RunFailed: A run failed.
        """
        for order in (self._arms, self._arms[::-1]):
            if self._is_served and self.num_runs % self._program.runs_per_server == 0:
                self._renew()
            for arm in order:
                self._on_step(f"{arm.name}: run {arm.num_runs + 1}")
                self._run(arm, arm.results, arm.num_runs)
                arm.num_runs += 1

    def run_aside(self, name: str, results: Path, variables: Mapping[str, str]) -> None:
        """Make one more run of a side, which is not compared: a whole command.

        Args:
            name: Of the side.
            results: The folder for its run and its log.
            variables: Added to its environment.

        Raises:
            RunFailed: It failed.
        """
        (arm,) = (each for each in self._arms if each.name == name)
        self._on_step(f"{name}: one more run")
        arguments = self._program.arguments(results, 0)
        command = [*self._python(arm), "-m", self._program.module, *arguments]
        log = results / "log.txt"
        environment = {**arm.environment, **variables}
        if code := run_logged(command, self._folder(arm), environment, log):
            raise RunFailed(_failure_message(arm, "failed", code, shlex.join(command), log))

    @property
    def _is_served(self) -> bool:
        return all(arm.server is not None for arm in self._arms)

    @contextmanager
    def _servers(self) -> Iterator[None]:
        """Start the servers of both sides at the same time; both sides are served, or none is."""
        with ExitStack() as stack:
            try:
                if self._program.server is not None:
                    self._on_step("both: start the servers")
                    for arm in self._arms:
                        arm.server = self._start_server(arm, self._program.server)
                        stack.callback(arm.server.stop)
                    self._wait_for_servers()
            except NotServed as error:
                stack.close()
                self.unserved = f"{error}: {UNSERVED}"
                for arm in self._arms:
                    arm.server = None
            # Called before those above: both servers end at the same time.
            for arm in self._arms:
                if arm.server is not None:
                    stack.callback(arm.server.close)
            self._are_new = True
            yield

    def _start_server(self, arm: Arm, server: str) -> CommandServer:
        program = self._program
        command = [*self._python(arm), "-m", server, program.module, *program.overrides]
        log = arm.results / "log-server.txt"
        return CommandServer(command, self._folder(arm), arm.environment, log)

    def _wait_for_servers(self) -> None:
        """Wait until both servers can make runs.

        Raises:
            NotServed: One cannot, for example because its revision is older than the servers.
        """
        for arm in self._arms:
            assert arm.server is not None
            try:
                arm.server.wait_until_ready()
            except NotServed as error:
                raise NotServed(f"{arm.name} cannot be served ({error})") from error

    def _renew(self) -> None:
        """Give both sides a new fork server, at the same time; nothing is measured meanwhile.

        Raises:
            RunFailed: A fork server could not be started.
        """
        if self._are_new:
            self._are_new = False
            return
        self._on_step("both: new fork servers")
        servers = [(arm, arm.server) for arm in self._arms if arm.server is not None]
        for _, server in servers:
            server.start_renewing()
        codes = [server.finish_renewing() for _, server in servers]
        for (arm, _), code in zip(servers, codes, strict=True):
            if code:
                what, log = "its fork server could not be renewed", arm.results / "log-server.txt"
                raise RunFailed(_failure_message(arm, what, code, self._program.module, log))

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
            if code := run_logged(shell, folder, environment, log):
                what = "could not be installed"
                raise InstallFailed(_failure_message(arm, what, code, program.install, log))
        arm.python = interpreter_path(program.python, folder)
        arm.environment = run_environment(
            program.environment, arm.python, self._repository, arm.worktree, program.module
        )

    def _python(self, arm: Arm) -> list[str]:
        # Without -P, Python would search its working directory before all other folders.
        is_hidden = hides_suite(self._repository, arm.worktree, self._program.module)
        return [arm.python, *(["-P"] if is_hidden else [])]

    def _run(self, arm: Arm, results: Path, repeat: int) -> None:
        arguments = self._program.arguments(results, repeat)
        command = [*self._python(arm), "-m", self._program.module, *arguments]
        results.mkdir(parents=True, exist_ok=True)
        before = set(runs_below(str(results)))
        log = results / f"log-{repeat}.txt"
        if arm.server is not None:
            log.touch()
            code = arm.server.run(arguments, log)
        else:
            code = run_logged(command, self._folder(arm), arm.environment, log)
        if code:
            what = f"run {repeat + 1} failed"
        elif set(runs_below(str(results))) <= before:
            what = f"run {repeat + 1} left no run folder in {results}"
        else:
            return
        raise RunFailed(_failure_message(arm, what, code, shlex.join(command), log))


def _failure_message(arm: Arm, what: str, code: int, command: str, log: Path) -> str:
    return f"{arm.name}, {arm.revision}: {what}: {how_it_ended(code, command, log)}"
