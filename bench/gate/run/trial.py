"""What bench.ab and bench.noise share: two revisions checked out and run in turn."""

from __future__ import annotations

import errno
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import TextColumn

from bench.cli import command_server
from bench.cli.app import run_once
from bench.cli.terminal import Line, safe_line, say
from bench.config.gate import MeasuredConfig, OutputConfig
from bench.core.files import file_stamp, utc_now
from bench.core.printable import printable
from bench.gate.model import Exit, Problem, problem
from bench.gate.report.output import complain
from bench.gate.run.command import Run, describe, run_arguments, run_gate_command, split_arguments
from bench.gate.sides.read import read_side
from bench.gate.sides.side import Side, has_shared_places
from bench.launch.interleave import Arm, InstallFailed, Interleaved, Program, RunFailed
from bench.launch.repository import NotCheckedOut, find_repository, worktrees


class BenchmarkInput(NamedTuple):
    """What each run of the benchmark gets: the arguments after `--`, and environment variables."""

    overrides: Sequence[str]
    environment: Mapping[str, str]


class Revision(NamedTuple):
    """A side: the name of its folder, the key that names the revision, and the revision."""

    name: str
    key: str
    ref: str


def trial_command(
    name: str,
    schema: type,
    keys: Sequence[str],
    run: Callable[[Mapping[str, Any], BenchmarkInput], int],
) -> int:
    """Run a command whose command line has a second part, after `--`; return its exit code.

    Args:
        name: Of the command and of its primary file.
        schema: Of its configuration.
        keys: Those that it has, dotted.
        run: Takes the resolved configuration and what the benchmark gets.
    """
    overrides: list[str] = []
    # Copied now: the runs shall not get what this command sets for itself.
    given = BenchmarkInput(overrides=overrides, environment=dict(os.environ))

    def compose(run_reporting: Run) -> int:
        try:
            sys.argv[1:], overrides[:] = split_arguments(sys.argv[1:], name, keys)
        except ValueError as error:
            complain(printable(error))
            return Exit.WRONG
        return run_once(name, schema, run_reporting, keys)

    has_files = issubclass(schema, OutputConfig)  # bench.noise has no verdict to write
    return run_gate_command(
        sys.argv[1:], compose, lambda plain: run(plain, given), has_files=has_files
    )


class TrialLine(Line):
    """Shows on standard error what is being done: one line that is redrawn, and lines that stay."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._console = Console(stderr=True)
        column = TextColumn("{task.description}", markup=False)
        super().__init__(self._console, column, shown=self._console.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._latest = ""

    def step(self, text: str) -> None:
        """Redraw the line with the next step; the latest line that stays is repeated after it."""
        self._bar.update(self._task, description=safe_line(f"{text}{self._latest}"), refresh=True)

    def print_line(self, text: str) -> None:
        """Print a line that stays."""
        self._latest = f"; {text}"
        say(self._console, printable(text))


class Trial:
    """Two revisions, and the folder in which their runs lie."""

    def __init__(
        self,
        command: str,
        config: MeasuredConfig,
        given: BenchmarkInput,
        revisions: Sequence[Revision],
    ) -> None:
        """Find the revisions; nothing is checked out yet.

        Args:
            command: Name of the folder in results.
            config: How they are run.
            given: What each run gets.
            revisions: Two; uncommitted changes may belong to the second.

        Raises:
            ValueError: There is no such repository or revision, or changes would not be measured;
                the message names the key.
        """
        self._config = config
        self._given = given
        self._revisions = revisions
        self._repository = find_repository(Path.cwd())
        self._commits = {
            each.name: self._repository.commit_of(each.ref, key=each.key) for each in revisions
        }
        self.remarks = [*self._uncommitted(), *self._missing_commits()]
        if (self._repository.root / ".gitmodules").exists():
            self.remarks.append(
                "submodules are not checked out; install='git submodule update --init' does it"
            )
        # A folder of its own each time: no run of an earlier trial may enter this one.
        name = f"{file_stamp(utc_now())}-{secrets.token_hex(3)}"
        self.root = Path(config.results).absolute() / command / name
        self.failure: Problem | None = None
        self._interleaved: Interleaved | None = None
        # Before the revisions are checked out: the budget covers installing them too.
        self._started_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the trial began."""
        return time.monotonic() - self._started_s

    @property
    def num_runs(self) -> int:
        """Runs per side so far, without those to warm up."""
        return 0 if self._interleaved is None else self._interleaved.num_runs

    @property
    def runs_per_server(self) -> int:
        """Runs of a side that share a fork server."""
        return 1 if self._interleaved is None else self._interleaved.runs_per_server

    def same_commit(self) -> bool:
        """Whether both revisions are the same one."""
        return len(set(self._commits.values())) == 1

    def title(self, name: str) -> str:
        """The revision of a side as the user gave it, with its commit."""
        ref = next(each.ref for each in self._revisions if each.name == name)
        commit = self._commits[name]
        return ref if commit.startswith(ref) else f"{ref} ({commit[:10]})"

    def measure(self, work: Callable[[Interleaved, TrialLine], None]) -> int:
        """Check both revisions out, make them ready, and do the work.

        Returns:
            Exit.PASS; or, after a message, the exit code of what went wrong, which is `failure`.

        Raises:
            ValueError: Results cannot be written, or a revision has no interpreter or folder to be
                run with.
        """
        try:
            self.root.mkdir(parents=True)
        except OSError as error:
            raise ValueError(
                f"results={self._config.results}: cannot write there ({error.strerror})"
            ) from error
        try:
            with (
                worktrees(self._repository, self._commits, complain) as folders,
                TrialLine() as line,
            ):
                self._interleaved = interleaved = self._interleave(folders, line)
                # Outside of the folders of both sides, so that no warm-up run is ever compared.
                with interleaved.prepared(self._config.warmup, self.root / "warmup"):
                    self._remark_on(interleaved.unserved, line)
                    work(interleaved, line)
        except RunFailed as failure:
            # Runs that are finished are worth hours, so say where they are.
            complain(f"{failure}\nno verdict; {self._remains()}")
            code = Exit.NOT_INSTALLED if isinstance(failure, InstallFailed) else Exit.FAILED
            self.failure = Problem(kind="failed", message=str(failure), exit_code=code)
        except (NotCheckedOut, OSError) as failure:
            message = describe(failure)
            complain(f"{printable(message)}; no verdict; {self._remains()}")
            self.failure = problem("broken", message)
        except KeyboardInterrupt:
            message = f"no verdict; {self._remains()}"
            say(Console(stderr=True), f"interrupted: {message}")
            self.failure = problem("interrupted", message)
        return Exit.PASS if self.failure is None else self.failure.exit_code

    def side(self, name: str) -> Side:
        """The runs of a side so far.

        Raises:
            OSError: Their folder is gone.
        """
        folder = self.root / name
        if not folder.is_dir():
            raise FileNotFoundError(errno.ENOENT, "the runs are gone", str(folder))
        return replace(read_side(folder), name=self.title(name))

    def repeats_are_ignored(self) -> bool:
        """Whether the runs of a side share seed and repeat: more of them would not count.

        That happens where a user's module does not pass on the repeat that it is given. The first
        round shows it.
        """
        return any(has_shared_places(read_side(self.root / each.name)) for each in self._revisions)

    def summary(self) -> str:
        """How many runs were made, how long that took, and where they lie."""
        return (
            f"{self.num_runs} runs per side, and {self._config.warmup} to warm up, "
            f"in {_duration(self.elapsed_s)}: {self.root}"
        )

    def _uncommitted(self) -> list[str]:
        """A remark on uncommitted changes, if the second revision is what is checked out.

        Raises:
            ValueError: There are some, and allow_dirty is not set.
        """
        last = self._revisions[-1]
        # Only then would a user expect the changes to be measured.
        if not self._repository.is_checked_out(last.ref) or not self._repository.is_dirty():
            return []
        text = f"{last.key}={last.ref}: the working tree has changes that are not committed"
        if self._config.allow_dirty:
            return [f"{text}; they were not measured"]
        raise ValueError(
            f"{text}, and they would not be measured; commit or stash them, or allow_dirty=true"
        )

    def _missing_commits(self) -> list[str]:
        """A remark on commits of the first revision that the second does not have."""
        first, last = (self._commits[each.name] for each in self._revisions)
        # A branch that is behind would be blamed for what its base has gained since.
        if not (num := self._repository.num_missing(last, first)):
            return []
        names = [each.name for each in self._revisions]
        return [
            f"{names[0]} has commits that {names[1]} lacks ({num}), and what these gained counts "
            f"as a loss of {names[1]}; git merge-base names the commit where both parted"
        ]

    def _remark_on(self, unserved: str | None, line: TrialLine) -> None:
        if unserved is not None:
            self.remarks.append(unserved)
            line.print_line(unserved)

    def _interleave(self, folders: Mapping[str, Path], line: TrialLine) -> Interleaved:
        overrides = self._given.overrides
        # A fork server does not get the variables that Hydra sets for a job.
        sets_variables = any("hydra.job.env_set" in each for each in overrides)
        is_servable = self._config.module in command_server.JOBS and not sets_variables
        is_served = is_servable and self._config.runs_per_server > 0
        program = Program(
            module=self._config.module,
            server=command_server.__name__ if is_served else None,
            runs_per_server=max(1, self._config.runs_per_server),
            arguments=lambda results, repeat: run_arguments(overrides, results, repeat),
            overrides=overrides,
            python=self._config.python or sys.executable,
            install=self._config.install,
            environment=self._given.environment,
        )
        first, second = (
            Arm(name=name, revision=self.title(name), worktree=folder, results=self.root / name)
            for name, folder in folders.items()
        )
        return Interleaved(self._repository, program, (first, second), line.step)

    def _remains(self) -> str:
        return f"whole runs per side: {self.num_runs}; they and their logs lie in {self.root}"


def _duration(time_s: float) -> str:
    if time_s < 60:
        return f"{time_s:.1f} s"
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes} min {seconds} s"
