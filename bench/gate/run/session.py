"""What bench.ab and bench.noise share: revisions checked out, run in turn, and what ends that."""

from __future__ import annotations

import errno
import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import TextColumn

from bench.cli.app import run_once
from bench.cli.start import INTERRUPTED, USAGE_ERROR
from bench.cli.terminal import Line, say, shown
from bench.config.gate import MeasuredConfig, OutputConfig
from bench.core.files import file_stamp, utc_now
from bench.core.printable import printable
from bench.gate.model import EXIT_FAILED, EXIT_NOT_INSTALLED, EXIT_PASS, Problem, ProblemKind
from bench.gate.run.arguments import run_arguments, split_arguments
from bench.gate.run.endings import in_words, told_in_files
from bench.gate.sides.runs import any_repeated, read_side
from bench.gate.sides.side import Side
from bench.gate.words.output import complain
from bench.launch.interleave import Arm, InstallFailed, Interleaved, Program, RunFailed
from bench.launch.repository import NotCheckedOut, find_repository, worktrees


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says beside the command's own keys, and the environment then."""

    overrides: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A side: the name of its folder, the key that names the revision, and the revision."""

    name: str
    key: str
    ref: str


def session_command(
    name: str, schema: type, keys: Sequence[str], run: Callable[[Mapping[str, Any], Asked], int]
) -> int:
    """Run a command whose line has a second part, after `--`; its exit code.

    Args:
        name: Of the command and of its primary file.
        schema: Of its configuration.
        keys: That it has, dotted.
        run: Takes the resolved configuration and what else was asked.
    """
    environment = dict(os.environ)  # of the runs: without what the command sets for itself
    asked = Asked(overrides=[], environment=environment)

    def command(told: Callable[[Mapping[str, Any]], int]) -> int:
        nonlocal asked
        try:
            sys.argv[1:], overrides = split_arguments(sys.argv[1:], name, keys)
        except ValueError as error:
            complain(printable(error))
            return USAGE_ERROR
        asked = replace(asked, overrides=overrides)
        return run_once(name, schema, told, keys)

    # Only a command with a verdict has files for it.
    has_files = issubclass(schema, OutputConfig)
    return told_in_files(
        sys.argv[1:], command, lambda plain: run(plain, asked), has_files=has_files
    )


class Teller(Line):
    """Says on standard error how far it is: in a line that is redrawn, and lines that stay."""

    def __init__(self) -> None:
        """Nothing is shown."""
        self._console = Console(stderr=True)
        column = TextColumn("{task.description}", markup=False)
        super().__init__(self._console, column, shown=self._console.is_terminal)
        self._task = self._bar.add_task("", total=None)
        self._so_far = ""

    def step(self, text: str) -> None:
        """Redraw the line: what is done now, and what has come of it so far."""
        line = shown(f"{text}{self._so_far}")
        self._bar.update(self._task, description=line, refresh=True)

    def look(self, text: str) -> None:
        """Print a line that stays."""
        self._so_far = f"; {text}"
        say(self._console, printable(text))


class Session:
    """Two revisions, and the folder that their runs go to."""

    def __init__(
        self, command: str, config: MeasuredConfig, asked: Asked, revisions: Sequence[Revision]
    ) -> None:
        """Nothing is checked out.

        Args:
            command: Name of the folder in results.
            config: How they are run.
            asked: What else.
            revisions: Two; changes that are not committed may be meant by the second.

        Raises:
            ValueError: There is no such repository or revision, or changes would not be measured;
                the message names the key.
        """
        self._config = config
        self._asked = asked
        self._revisions = revisions
        self._repository = find_repository(Path.cwd())
        self._commits = {
            each.name: self._repository.commit_of(each.ref, key=each.key) for each in revisions
        }
        self.remarks = [*self._refuse_dirty(), *self._lacking()]
        if (self._repository.root / ".gitmodules").exists():
            self.remarks.append(
                "submodules are not checked out; install='git submodule update --init' does it"
            )
        name = f"{file_stamp(utc_now())}-{secrets.token_hex(3)}"
        self.root = Path(config.results).absolute() / command / name
        self.failure: Problem | None = None
        self._started_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was begun."""
        return time.monotonic() - self._started_s

    def same_commit(self) -> bool:
        """Whether both revisions are the same one."""
        return len(set(self._commits.values())) == 1

    def title(self, name: str) -> str:
        """A revision for people, by its side's name."""
        ref = next(each.ref for each in self._revisions if each.name == name)
        commit = self._commits[name]
        return ref if commit.startswith(ref) else f"{ref} ({commit[:10]})"

    def measure(self, work: Callable[[Interleaved, Teller], None]) -> int:
        """Check both revisions out, make them ready, and do the work.

        Returns:
            EXIT_PASS; or, after a message, the exit code of what went wrong, which is `failure`.

        Raises:
            ValueError: Results cannot be written from the start, or a revision lacks what it is to
                be run with.
        """
        interleaved: Interleaved | None = None
        try:
            self.root.mkdir(parents=True)
        except OSError as error:
            raise ValueError(
                f"results={self._config.results}: cannot write there ({error.strerror})"
            ) from error
        try:
            with (
                worktrees(self._repository, self._commits, complain) as folders,
                Teller() as teller,
            ):
                interleaved = self._interleaved(folders, teller)
                interleaved.prepare(self._config.warmup, self.root / "warmup")
                work(interleaved, teller)
        except RunFailed as failure:
            complain(f"{failure}\nno verdict; {self._left(interleaved)}")
            installed = not isinstance(failure, InstallFailed)
            return self._ended(
                "failed", str(failure), EXIT_FAILED if installed else EXIT_NOT_INSTALLED
            )
        except (NotCheckedOut, OSError) as failure:
            message = in_words(failure)
            complain(f"{printable(message)}; no verdict; {self._left(interleaved)}")
            return self._ended("broken", message, EXIT_FAILED)
        except KeyboardInterrupt:
            left = self._left(interleaved)
            say(Console(stderr=True), f"interrupted: no verdict; {left}")
            return self._ended("interrupted", f"no verdict; {left}", INTERRUPTED)
        return EXIT_PASS

    def _ended(self, kind: ProblemKind, message: str, code: int) -> int:
        self.failure = Problem(kind=kind, message=message, exit_code=code)
        return code

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
        """Whether the runs of a side share seed and repeat, so that more of them would not count.

        A module of one's own may not pass on the repeat that it is given. The first round shows it.
        """
        return any(any_repeated(self.root / each.name) for each in self._revisions)

    def told(self, num_runs: int) -> str:
        """How many runs were made, how long it took, and where they lie."""
        return (
            f"{num_runs} runs per side, and {self._config.warmup} to warm up, "
            f"in {_duration(self.elapsed_s)}: {self.root}"
        )

    def _refuse_dirty(self) -> list[str]:
        """What is to be known of changes that are not committed, where these may be meant."""
        last = self._revisions[-1]
        if not self._repository.is_checked_out(last.ref) or not self._repository.is_dirty():
            return []
        told = f"{last.key}={last.ref}: the working tree has changes that are not committed"
        if self._config.allow_dirty:
            return [f"{told}; they were not measured"]
        raise ValueError(
            f"{told}, and they would not be measured; commit or stash them, or allow_dirty=true"
        )

    def _lacking(self) -> list[str]:
        """That the first revision is ahead, so that the second is charged for what it lacks."""
        first, last = (self._commits[each.name] for each in self._revisions)
        if not (num := self._repository.num_missing(last, first)):
            return []
        names = [each.name for each in self._revisions]
        return [
            f"{names[0]} has commits that {names[1]} lacks ({num}), and what these gained counts "
            f"as a loss of {names[1]}; git merge-base names the commit where both parted"
        ]

    def _interleaved(self, folders: Mapping[str, Path], teller: Teller) -> Interleaved:
        program = Program(
            module=self._config.module,
            arguments=lambda results, repeat: run_arguments(self._asked.overrides, results, repeat),
            python=self._config.python,
            default_python=sys.executable,
            install=self._config.install,
            environment=self._asked.environment,
        )
        first, second = (
            Arm(
                name=name,
                revision=self.title(name),
                worktree=folder,
                results=self.root / name,
            )
            for name, folder in folders.items()
        )
        return Interleaved(self._repository, program, (first, second), teller.step)

    def _left(self, interleaved: Interleaved | None) -> str:
        num_runs = 0 if interleaved is None else interleaved.num_runs
        return f"whole runs per side: {num_runs}; they and their logs lie in {self.root}"


def _duration(time_s: float) -> str:
    if time_s < 60:
        return f"{time_s:.1f} s"
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes} min {seconds} s"
