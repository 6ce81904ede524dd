"""Revisions side by side: a worktree for each in a temporary folder, gone again afterwards."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bench.core.stopping import signals_held_back
from bench.launch.repository import GitFailed, Repository, git

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
    """Remove the folder and what git has noted of the worktrees in it."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in _listed(repository):
        if path.parent == folder:
            _forget(repository, path)
    if folder.exists():
        on_left(f"{folder} cannot be removed; remove it, and then: git worktree prune")


def _remove_abandoned(repository: Repository, parent: Path) -> None:
    """Remove what processes left that were killed; worktrees of anyone else stay."""
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
