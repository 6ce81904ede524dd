"""Finds revisions in the user's git repository, and checks them out in temporary worktrees."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.launch.stopping import delay_signals

# Git sets these for its hooks. With them, it would use the user's own files from any folder.
_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX")


class GitFailed(ValueError):  # noqa: N818 -- says what git said
    """Git ended with an error; the message is the last line that it printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository, and the folder in it that the command was started in.

    Attributes:
        root: The top folder of its working tree.
        inside: The command's folder, relative to root.
    """

    root: Path
    inside: Path

    def commit_of(self, ref: str, *, key: str) -> str:
        """The full hash of a revision.

        Args:
            ref: A name that git understands.
            key: The key of the configuration, for the message.

        Raises:
            ValueError: There is no such revision; the message names the key.
        """
        try:
            # In two steps, because `:/fix` searches commit messages, and the suffix would become
            # part of the text to search for.
            digest = git(self.root, "rev-parse", "--verify", ref)
            return git(self.root, "rev-parse", "--verify", f"{digest}^{{commit}}")
        except GitFailed as error:
            raise ValueError(
                f"{key}={ref}: no such revision in {self.root}; git fetch it first (a shallow "
                "clone has the latest commit only)"
            ) from error

    def num_missing(self, commit: str, other: str) -> int:
        """The number of commits of the other revision that this one does not have."""
        return int(git(self.root, "rev-list", "--count", f"{commit}..{other}"))

    def subject(self, commit: str) -> str:
        """The first line of a commit's message."""
        return git(self.root, "log", "-1", "--format=%s", commit)

    def is_checked_out(self, ref: str) -> bool:
        """Whether a name means the revision that is checked out: HEAD or its branch."""
        names = (
            git(self.root, "rev-parse", "--symbolic-full-name", each) for each in (ref, "HEAD")
        )
        named, here = names
        return named == here

    def is_dirty(self) -> bool:
        """Whether tracked files have uncommitted changes."""
        return bool(git(self.root, "status", "--porcelain", "--untracked-files=no"))


def find_repository(folder: Path) -> Repository:
    """Find the repository that a folder is in.

    Raises:
        ValueError: The folder is not in a repository, or git is not installed.
    """
    try:
        answer = git(folder, "rev-parse", "--show-toplevel", "--show-prefix")
    except GitFailed as error:
        raise ValueError(
            f"{folder}: not in the working tree of a git repository ({error}); start the command "
            "in the repository of the revisions"
        ) from error
    root, _, inside = answer.partition("\n")
    return Repository(root=Path(root), inside=Path(inside))


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return its output, without the last line break.

    An interrupt waits until git has finished, so that git leaves nothing half done.

    Raises:
        GitFailed: Git ended with an error.
        ValueError: Git is not installed.
        OSError: The folder is gone.
    """
    try:
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=folder,
            env=drop_hook_variables(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,  # Ctrl-C in a terminal reaches the whole process group
        )
    except OSError as error:
        if error.filename != "git":  # the folder is the problem
            raise
        is_missing = isinstance(error, FileNotFoundError)
        reason = "not found" if is_missing else f"cannot be run ({error.strerror})"
        raise ValueError(f"git: {reason}; install it, or add its folder to PATH") from error
    try:
        out, err = process.communicate()
    except KeyboardInterrupt:
        process.communicate()
        raise
    if process.returncode:
        lines = err.strip().splitlines() or [f"exit code {process.returncode}"]
        raise GitFailed(lines[-1])
    return out.removesuffix("\n")


def drop_hook_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Copy an environment without the variables that git sets for its hooks."""
    return {name: value for name, value in environment.items() if name not in _HOOK_VARIABLES}


_PREFIX = "bench-worktrees-"
_PATH_LINE = "worktree "  # how `git worktree list` begins a line with a path


class NotCheckedOut(Exception):  # noqa: N818 -- says what happened
    """A revision could not be checked out, because of a full disk or a failing git filter, say."""


@contextmanager
def worktrees(
    repository: Repository, commits: Mapping[str, str], on_left: Callable[[str], None]
) -> Iterator[dict[str, Path]]:
    """Check out commits in temporary folders, and remove these folders at the end.

    First, remove the folders that killed processes left behind.

    Args:
        repository: The repository of the commits; its own files are not touched.
        commits: Full hashes by the name of the folder. Give the folders names of the same length:
            the length of a path moves the stack, which changes times.
        on_left: Called with a message if a folder cannot be removed.

    Raises:
        NotCheckedOut: Git cannot check out a commit.
        OSError: The temporary folder cannot be written to.

    Source: Mytkowicz et al. (2009), Producing wrong data without doing anything obviously wrong!
    """
    parent = Path(tempfile.gettempdir()).resolve()
    _remove_abandoned(repository, parent)
    folder = parent / f"{_PREFIX}{secrets.token_hex(4)}"
    # Lock before the folder exists, so that no other process considers it abandoned.
    with FileLock(_lock_path(folder)):
        try:
            folder.mkdir(mode=0o700)
            yield {name: _add(repository, folder / name, commits[name]) for name in commits}
        finally:
            with delay_signals():
                _remove(repository, folder, on_left)
                _lock_path(folder).unlink(missing_ok=True)


def _add(repository: Repository, path: Path, commit: str) -> Path:
    try:
        git(repository.root, "worktree", "add", "--detach", str(path), commit)
    except GitFailed as error:
        raise NotCheckedOut(
            f"{commit[:10]}: cannot be checked out in {path.parent} ({error}); free the disk, or "
            "fix what git reports"
        ) from error
    return path


def _remove(repository: Repository, folder: Path, on_left: Callable[[str], None]) -> None:
    """Remove the folder, and git's records of the worktrees in it."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in _list_worktrees(repository):
        if path.parent == folder:
            _forget(repository, path)
    if folder.exists():
        on_left(f"{folder} cannot be removed; remove it, and then: git worktree prune")


def _remove_abandoned(repository: Repository, parent: Path) -> None:
    """Remove the worktrees that killed processes left behind; worktrees in use stay."""
    for folder in parent.glob(f"{_PREFIX}*/"):
        # Another process may hold the lock, or another user may own it.
        with suppress(Timeout, PermissionError), FileLock(_lock_path(folder), blocking=False):
            shutil.rmtree(folder, ignore_errors=True)
            _lock_path(folder).unlink(missing_ok=True)
    for path in _list_worktrees(repository):
        ours = path.parent.parent == parent and path.parent.name.startswith(_PREFIX)
        if ours and not path.parent.exists():
            _forget(repository, path)


def _forget(repository: Repository, path: Path) -> None:
    """Remove a worktree, or git's record of one whose folder is gone."""
    # This fails if another process removes it too, or if files cannot be removed. The caller
    # reports a folder that remains.
    with suppress(GitFailed):
        # Forced twice, because a worktree is locked if git was killed while creating it.
        git(repository.root, "worktree", "remove", "--force", "--force", str(path))


def _list_worktrees(repository: Repository) -> list[Path]:
    lines = git(repository.root, "worktree", "list", "--porcelain").splitlines()
    return [Path(line.removeprefix(_PATH_LINE)) for line in lines if line.startswith(_PATH_LINE)]


def _lock_path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
