"""The order of a history's checks: that of their commits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bench.gate.history.store import Check
from bench.launch.repository import GitFailed, find_repository, git


class Ordered(NamedTuple):
    """Checks in order, and a sentence on what decided it."""

    checks: list[Check]
    remark: str


def in_order(checks: Sequence[Check], latest: str | None, folder: Path) -> Ordered:
    """Put checks into the order of their commits, those of one commit in that of their time.

    Args:
        checks: In the order of their time.
        latest: The commit whose history is wanted. Checks of commits that it does not contain,
            such as those of another branch, are left out.
        folder: In the repository.

    Returns:
        All checks in the order of their time where git does not know the latest commit.
    """
    places = _ancestors(latest, folder) if latest is not None else {}
    if not places:
        return Ordered(list(checks), "in order of time, because git does not know the commit")
    kept = [check for check in checks if check.commit in places]
    kept.sort(key=lambda check: places[check.commit or ""])
    left_out = len(checks) - len(kept)
    others = f"; {left_out} of commits that are not in its past are left out" if left_out else ""
    return Ordered(kept, f"in order of commits{others}")


def _ancestors(commit: str, folder: Path) -> dict[str, int]:
    """The place of each commit in the past of one, which is the last; empty if git has none."""
    try:
        root = find_repository(folder).root
        lines = git(root, "rev-list", "--topo-order", "--reverse", commit).splitlines()
    except (GitFailed, ValueError):  # no repository, no git, or a commit that was not fetched
        return {}
    return {line: place for place, line in enumerate(lines)}
