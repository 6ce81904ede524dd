"""The git repository that a command is started in: its revisions, and whether it is dirty."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Git sets these for its hooks: they would lead it to the user's own files from any folder.
_OF_HOOKS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX")


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
            # In two steps: what is appended to `:/fix` would be looked for with it.
            found = git(self.root, "rev-parse", "--verify", ref)
            return git(self.root, "rev-parse", "--verify", f"{found}^{{commit}}")
        except GitFailed as error:
            raise ValueError(
                f"{key}={ref}: no such revision in {self.root}; git fetch it first (a shallow "
                "clone has the latest commit only)"
            ) from error

    def num_lacking(self, commit: str, other: str) -> int:
        """How many commits the other revision has that this one lacks."""
        return int(git(self.root, "rev-list", "--count", f"{commit}..{other}"))

    def is_checked_out(self, ref: str) -> bool:
        """Whether a revision is named as what the working tree is of: HEAD or its branch."""
        names = (
            git(self.root, "rev-parse", "--symbolic-full-name", each) for each in (ref, "HEAD")
        )
        named, here = names
        return named == here

    def is_dirty(self) -> bool:
        """Whether files that git knows have changes that are not committed."""
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
    """What git prints, run in a folder, without the last line break.

    It is let finish when this process is interrupted: half done, its bookkeeping would stay.

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
    """An environment without what git has set for a hook that the command was started from."""
    return {name: value for name, value in environment.items() if name not in _OF_HOOKS}
