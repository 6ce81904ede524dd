"""Allows one measured window at a time on a host, by a lock for all its users and checkouts.

The lock is a file that everybody may read, locked with flock. The kernel frees it when the last
process that has the file open ends. A job inherits it, so a run whose command was killed still
keeps others from measuring at the same time.

The file is on a disk of the host, not in a shared folder: other hosts may measure meanwhile, and
locks do not reach across all network file systems.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.core.files import expand_path
from bench.core.printable import printable

_SHARED_FOLDER = Path("/tmp")  # not TMPDIR: batch systems give each job its own
# Another user may put a link, a pipe or a device in the place of the file: do not follow or wait.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_BYTES = 4096
UNKNOWN = "its holder is not known"

# The descriptor of the lock in this process, which may measure in several windows at once.
_held: int | None = None


class LockError(ValueError):
    """The lock cannot be used; one line with the reason and the remedy."""


def lock_path() -> Path:
    """The lock's file: the same for all users and checkouts of a host."""
    given = os.environ.get("BENCH_LOCK")
    if given:
        return expand_path(given)
    common = os.access(_SHARED_FOLDER, os.W_OK)
    folder = _SHARED_FOLDER if common else Path(tempfile.gettempdir())
    return folder / "bench-measuring.lock"


@contextmanager
def measuring_lock(path: Path, holder: str, on_wait: Callable[[str], None]) -> Iterator[int]:
    """Hold the host's measuring lock for the block, after waiting for whoever has it.

    Args:
        path: The file of the lock.
        holder: Name of the holder, for others to read.
        on_wait: Called once with the present holder if the lock is taken.

    Yields:
        The descriptor to pass to a process that should keep the lock if this one dies.

    Raises:
        LockError: The lock cannot be used.
    """
    file = _open_locked(path, on_wait)
    try:
        _write_note(path, holder)
        yield file
    finally:
        _remove_note(path)
        # Only close the file: unlocking would free the lock although a job may still be alive.
        os.close(file)


def try_lock(path: Path, holder: str) -> Callable[[], None] | None:
    """Take the lock if it is free or if this process already holds it.

    Returns:
        The function that frees it; None if another process holds it.

    Raises:
        LockError: The lock cannot be used.
    """
    global _held
    if _held is not None:
        return _keep_held
    file = _open_shared(path)
    if not _flock(file, path, fcntl.LOCK_EX | fcntl.LOCK_NB):
        os.close(file)
        return None
    _held = file
    _write_note(path, holder)

    def release() -> None:
        global _held
        _held = None
        _remove_note(path)
        os.close(file)

    return release


def hold_if_free(holder: str) -> Callable[[], None] | str:
    """Take the host's lock if it is free.

    Returns:
        The function that frees it, or why it was not taken.
    """
    path = lock_path()
    try:
        release = try_lock(path, holder)
    except LockError as error:
        return str(error)
    return release or f"another run is being measured on this host ({holder_of(path)})"


@contextmanager
def holding_lock(path: Path, holder: str, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the host's measuring lock for the windows of this process; as measuring_lock."""
    global _held
    with measuring_lock(path, holder, on_wait) as _held:
        try:
            yield
        finally:
            _held = None


def adopt_lock(file: int) -> None:
    """Take over the descriptor of the lock from the process that started this one."""
    global _held
    _held = file


def _keep_held() -> None:
    """Do nothing: another window, or the process that started this one, frees the lock."""


def holder_of(path: Path) -> str:
    """Say who holds the lock.

    Everybody may write to the folder, so a note counts only if the process that it names is alive
    and belongs to the user who wrote the note. The text of another user is not shown.
    """
    try:
        file = os.open(_note(path), _READ)
    except OSError:
        return UNKNOWN
    with open(file, "rb") as note:
        facts = os.fstat(note.fileno())
        if not stat.S_ISREG(facts.st_mode):
            return UNKNOWN
        pid, _, text = note.read(_MOST_BYTES).decode(errors="replace").partition(" ")
    try:
        alive = pid.isascii() and pid.isdigit() and os.stat(f"/proc/{pid}").st_uid == facts.st_uid
    except OSError:
        alive = False
    if not alive:
        return UNKNOWN
    if facts.st_uid == os.getuid():
        return printable(text)
    return f"process {pid} of {_user_name(facts.st_uid)}"


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock at this moment; False if it cannot be used."""
    try:
        file = _open_shared(path)
    except LockError:
        return False
    try:
        return _flock(file, path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except LockError:
        return False
    finally:
        os.close(file)


def require_lock(path: Path) -> None:
    """Refuse a lock that cannot be used, before anything waits for it.

    Raises:
        LockError: It cannot be used.
    """
    os.close(_open_shared(path))


def _open_locked(path: Path, on_wait: Callable[[str], None]) -> int:
    """Open the file and lock it; wait if necessary."""
    while True:
        file = _open_shared(path)
        try:
            if not _flock(file, path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                on_wait(holder_of(path))
                on_wait = _ignore
                # Wait in the kernel: polling would disturb the run that is being measured.
                _flock(file, path, fcntl.LOCK_EX)
            if _is_still_at(path, file):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # it has been removed, so others lock another file


def _ignore(_: str) -> None:
    """Do nothing: the wait has been announced."""


def _open_shared(path: Path) -> int:
    """Open the file, which may belong to another user; create it if necessary."""
    try:
        try:
            file = os.open(path, _READ)
        except FileNotFoundError:
            with suppress(FileExistsError):
                new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
                os.fchmod(new, 0o644)  # regardless of the umask, because other users must read it
                os.close(new)
            file = os.open(path, _READ)
    except OSError as error:
        raise LockError(_unusable(path, error.strerror)) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise LockError(_unusable(path, "not a file"))
    return file


def _unusable(path: Path, reason: str | None) -> str:
    return (
        f"{path}: the lock for measuring cannot be used ({reason}); have it removed, or set "
        "BENCH_LOCK to a file that all users of this host can read"
    )


def _flock(file: int, path: Path, how: int) -> bool:
    """Lock the file; False if another process has the lock."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        return False
    except OSError as error:
        raise LockError(_unusable(path, error.strerror)) from error
    return True


def _is_still_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(file))
    except FileNotFoundError:
        return False


def _note(path: Path) -> Path:
    # Not in the lock's file, which may belong to another user.
    return path.with_suffix(".holder")


def _write_note(path: Path, holder: str) -> None:
    # The lock works without a note, if another user's cannot be replaced or the disk is full.
    with suppress(OSError):
        _note(path).unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(_note(path), flags, 0o644), "w") as note:
            os.fchmod(note.fileno(), 0o644)
            note.write(f"{os.getpid()} {holder}")


def _remove_note(path: Path) -> None:
    with suppress(OSError):
        _note(path).unlink(missing_ok=True)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
