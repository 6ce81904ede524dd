"""Notes of what runs have set on GPUs, so that it can be undone when a run was killed.

A limit that a run sets on a card stays when its process is gone. So the run writes a note first,
and removes it once the card is as before. A note that is left over belongs to a run that was killed
or could not undo its settings. Only files are read and written here; bench.measure.gpu_control
talks to the cards.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.core.files import cache_folder

# The function that undoes what is left, for a process of its own: this one opens no driver.
RESTORE = "bench.measure.gpu_control:restore_left"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuNote:
    """What a run sets on one GPU, and what was there before.

    Attributes:
        uuid: The GPU.
        name: Its number and name, for people.
        run: The process of the run, for people.
        power_limit_w: The power limit of the run; None if it sets none.
        power_limit_before_w: The limit before; None if the run sets none.
        clock_mhz: The clock that the run locks; None if it locks none.
    """

    uuid: str
    name: str
    run: str
    power_limit_w: float | None = None
    power_limit_before_w: float | None = None
    clock_mhz: int | None = None


class GpuNoteError(ValueError):
    """Another run has set this GPU, or the note cannot be written; one line with the reason."""


def has_notes() -> bool:
    """Whether there is any note, of a run that is alive or not; it takes microseconds."""
    with suppress(OSError):
        return any(_folder().iterdir())
    return False


@contextmanager
def noted(note: GpuNote) -> Iterator[Path]:
    """Keep a note for the block; whoever undoes the settings removes it.

    The note is locked as long as this process lives. The lock is no flock, which a forked worker
    would go on holding.

    Yields:
        The file to remove.

    Raises:
        GpuNoteError: Another run has set the same GPU, or the note cannot be written.
    """
    path = _folder() / f"{note.uuid}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise _not_noted(path, note, error) from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or path.stat().st_size:
                raise BlockingIOError  # it was removed meanwhile, or its settings are still there
            file.write(json.dumps(asdict(note)))
            file.flush()
            os.fsync(file.fileno())  # the note comes first, whatever happens to the machine
        except BlockingIOError as error:
            raise GpuNoteError(
                f"{note.name}: another run has set it and has not undone that ({path})"
            ) from error
        except OSError as error:
            raise _not_noted(path, note, error) from error
        yield path


def _not_noted(path: Path, note: GpuNote, error: OSError) -> GpuNoteError:
    return GpuNoteError(f"{path}: cannot note what to undo on {note.name} ({error.strerror})")


def left_notes() -> Iterator[tuple[Path, GpuNote]]:
    """The notes whose run is gone, each locked until the next one is asked for."""
    try:
        paths = sorted(_folder().glob("*.json"))
    except OSError:
        return
    for path in paths:
        # A note that cannot be locked belongs to a run that is alive, or to another user.
        with suppress(OSError), path.open("r+", encoding="utf-8") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                note = GpuNote(**json.loads(file.read()))
            except (ValueError, TypeError):  # killed while it wrote: it has not set anything yet
                path.unlink()
                continue
            yield path, note


def _folder() -> Path:
    return cache_folder() / "gpu-settings"
