"""The git repository that a command is started in: its revisions, and worktrees of them.

Worktrees lie in a temporary folder and are gone again afterwards.
"""

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

from bench.launch.stopping import signals_held_back

# Git sets these for its hooks. They would lead it to the user's own files from any folder.
_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX")


class GitFailed(ValueError):  # noqa: N818 -- says what git said
    """Git ended with an error; the message is its last line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository, and the folder in it that the command was started in.

    Attributes:
        root: Its top folder.
        inside: That folder, relative to root; `.` for root itself.
    """

    root: Path
    inside: Path

    def commit_of(self, ref: str, *, key: str) -> str:
        """The full hash of a revision.

        Args:
            ref: As git takes it.
            key: Of the configuration, for the error.

        Raises:
            ValueError: There is no such revision; the message names the key.
        """
        try:
            # In two steps: `:/fix` searches for a text, and would search for the suffix as well.
            found = git(self.root, "rev-parse", "--verify", ref)
            return git(self.root, "rev-parse", "--verify", f"{found}^{{commit}}")
        except GitFailed as error:
            raise ValueError(
                f"{key}={ref}: no such revision in {self.root}; git fetch it first (a shallow "
                "clone has the latest commit only)"
            ) from error

    def num_missing(self, commit: str, other: str) -> int:
        """How many commits of the other revision this one does not have."""
        return int(git(self.root, "rev-list", "--count", f"{commit}..{other}"))

    def is_checked_out(self, ref: str) -> bool:
        """Whether a name stands for the revision that is checked out: HEAD or its branch."""
        names = (
            git(self.root, "rev-parse", "--symbolic-full-name", each) for each in (ref, "HEAD")
        )
        named, here = names
        return named == here

    def is_dirty(self) -> bool:
        """Whether tracked files have changes that are not committed."""
        return bool(git(self.root, "status", "--porcelain", "--untracked-files=no"))


def find_repository(folder: Path) -> Repository:
    """The repository that a folder is in.

    Raises:
        ValueError: It is in none, or git is not installed.
    """
    try:
        answer = git(folder, "rev-parse", "--show-toplevel", "--show-prefix")
    except GitFailed as error:
        raise ValueError(
            f"{folder}: not in the working tree of a git repository ({error}); start the command "
            "in the one whose revisions are meant"
        ) from error
    root, _, inside = answer.partition("\n")
    return Repository(root=Path(root), inside=Path(inside))


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and give what it prints, without the last line break.

    An interrupt waits until git has finished, so that it leaves nothing half done.

    Raises:
        GitFailed: It ended with an error.
        ValueError: It is not installed.
        OSError: The folder is gone.
    """
    try:
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=folder,
            env=without_hook(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",
            start_new_session=True,  # Ctrl-C in a terminal reaches a whole group
        )
    except OSError as error:
        if error.filename != "git":  # the folder
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


def without_hook(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the variables that git sets for its hooks."""
    return {name: value for name, value in environment.items() if name not in _HOOK_VARIABLES}


_PREFIX = "bench-worktrees-"
_LISTED = "worktree "  # begins the line of a worktree's path


class NotCheckedOut(Exception):  # noqa: N818 -- says what happened
    """A revision could not be checked out: a full disk, a filter of git that fails, ..."""


@contextmanager
def worktrees(
    repository: Repository, commits: Mapping[str, str], on_left: Callable[[str], None]
) -> Iterator[dict[str, Path]]:
    """Check commits out, each in a folder of its own, and remove these folders at the end.

    Folders that an earlier process was killed over are removed first.

    Args:
        repository: Where the commits are; its own files are not touched.
        commits: Full hashes by the name of the folder. Names of one length make paths of one
            length: the length of a path moves the stack, and with it times.
        on_left: Called with a message if a folder cannot be removed.

    Raises:
        NotCheckedOut: Git cannot check one out.
        OSError: The temporary folder cannot be written to.

    Source: Mytkowicz et al. (2009), Producing wrong data without doing anything obviously wrong!
    """
    parent = Path(tempfile.gettempdir()).resolve()
    _remove_abandoned(repository, parent)
    folder = parent / f"{_PREFIX}{secrets.token_hex(4)}"
    # Taken before the folder is there, so that no other process takes it for abandoned.
    lock = FileLock(_lock_of(folder))
    with lock:
        try:
            folder.mkdir(mode=0o700)
            yield {name: _add(repository, folder / name, commits[name]) for name in commits}
        finally:
            with signals_held_back():
                _remove(repository, folder, on_left)
                _lock_of(folder).unlink(missing_ok=True)


def _add(repository: Repository, path: Path, commit: str) -> Path:
    try:
        git(repository.root, "worktree", "add", "--detach", str(path), commit)
    except GitFailed as error:
        raise NotCheckedOut(
            f"{commit[:10]}: cannot be checked out in {path.parent} ({error}); free the disk, or "
            "mend what git says"
        ) from error
    return path


def _remove(repository: Repository, folder: Path, on_left: Callable[[str], None]) -> None:
    """Remove the folder, and git's records of the worktrees in it."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in _listed(repository):
        if path.parent == folder:
            _forget(repository, path)
    if folder.exists():
        on_left(f"{folder} cannot be removed; remove it, and then: git worktree prune")


def _remove_abandoned(repository: Repository, parent: Path) -> None:
    """Remove what killed processes have left behind; worktrees of anyone else stay."""
    for folder in parent.glob(f"{_PREFIX}*/"):
        # Held: it is in use. No permission: it is another user's.
        with suppress(Timeout, PermissionError), FileLock(_lock_of(folder), blocking=False):
            shutil.rmtree(folder, ignore_errors=True)
            _lock_of(folder).unlink(missing_ok=True)
    for path in _listed(repository):
        ours = path.parent.parent == parent and path.parent.name.startswith(_PREFIX)
        if ours and not path.parent.exists():
            _forget(repository, path)


def _forget(repository: Repository, path: Path) -> None:
    """Remove a worktree, or what git has noted of one whose folder is gone."""
    # It stays if another process is at it, or if files in it cannot be removed, which is told.
    with suppress(GitFailed):
        # Twice: one that git was killed over is locked.
        git(repository.root, "worktree", "remove", "--force", "--force", str(path))


def _listed(repository: Repository) -> list[Path]:
    lines = git(repository.root, "worktree", "list", "--porcelain").splitlines()
    return [Path(line.removeprefix(_LISTED)) for line in lines if line.startswith(_LISTED)]


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
