"""Searches for the first bad commit with `git bisect`, away from the user's own files.

Git chooses the commits, and knows about merges and about commits that cannot be judged. Its state
is that of a temporary worktree, so a bisection that the user has begun goes on undisturbed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from bench.launch.repository import GitFailed, Repository, git, worktrees

Answer = Literal["good", "bad", "skip"]


class Bisection:
    """A search that has begun."""

    def __init__(self, folder: Path) -> None:
        """Take over a worktree in which `git bisect` has been started."""
        self._folder = folder

    def next_commit(self) -> str | None:
        """The commit to judge next; None if the answer is known, or if none is left to judge."""
        refs = ("refs/bisect/bad", "refs/bisect/skip-*")
        judged = git(self._folder, "for-each-ref", "--format=%(objectname)", *refs).split()
        if all(commit in judged for commit in self.suspects()):
            return None
        return git(self._folder, "rev-parse", "--verify", "BISECT_HEAD")

    def suspects(self) -> list[str]:
        """The commits that may be the first bad one: a single one if it is found."""
        # In git's words: all that bad has and no good one has.
        refs = ("refs/bisect/bad", "--not", "--glob=refs/bisect/good-*")
        return git(self._folder, "rev-list", *refs).split()

    def num_steps(self) -> int:
        """About how many commits are still to be judged."""
        return math.ceil(math.log2(max(1, len(self.suspects()))))

    def answer(self, commit: str, answer: Answer) -> None:
        """Say what a commit is; `skip` if it cannot be judged."""
        # Git ends with an error once only skipped commits are left, which next_commit() finds out.
        with suppress(GitFailed):
            git(self._folder, "bisect", answer, commit)


@contextmanager
def bisection(
    repository: Repository, good: str, bad: str, on_left: Callable[[str], None]
) -> Iterator[Bisection]:
    """Search between two commits.

    Args:
        repository: That of the commits; its own files are not touched.
        good: Full hash of a commit in the past of the bad one.
        bad: Full hash.
        on_left: Called with a message if the temporary folder cannot be removed.

    Raises:
        NotCheckedOut: Git cannot check out the bad commit.
        OSError: The temporary folder cannot be written to.
    """
    with worktrees(repository, {"steps": bad}, on_left) as folders:
        git(folders["steps"], "bisect", "start", "--no-checkout", bad, good)
        yield Bisection(folders["steps"])
