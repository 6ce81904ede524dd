"""One figure of a report, drawn in whichever process: its files, or why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from analysis.figures.registry import Frames
from analysis.figures.write import write_figure
from analysis.load.forked import Lost
from analysis.page.attempts import Attempts, CaughtWarnings, catch_warnings
from analysis.tables.files import CannotWrite
from bench.config.report import FilesConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What became of a figure.

    Attributes:
        written: Its files.
        not_made: Its name and why it was not drawn; empty if it was.
        num_failed: 1 if the reason is a defect.
        unread: Files of runs that could not be read, and why.
        has_boxes: Whether the font lacks a character of some name.
        cannot_write: Why no file can be written.
    """

    written: Sequence[Path] = ()
    not_made: Sequence[tuple[str, str]] = ()
    num_failed: int = 0
    unread: Mapping[str, str] = field(default_factory=dict)
    has_boxes: bool = False
    cannot_write: str | None = None


def draw_all(
    names: Sequence[str],
    frames: Frames,
    folder: Path,
    files: FilesConfig,
    *,
    wants_traceback: bool,
) -> list[Drawn]:
    """Draw some figures one after the other; arguments as draw."""
    return [draw(name, frames, folder, files, wants_traceback=wants_traceback) for name in names]


def draw(
    name: str, frames: Frames, folder: Path, files: FilesConfig, *, wants_traceback: bool
) -> Drawn:
    """Draw a figure and write its files.

    Args:
        name: Of the registry.
        frames: What was loaded.
        folder: Folder of the files.
        files: Widths and formats.
        wants_traceback: Whether to print the traceback of a defect.
    """
    attempts, cannot_write = Attempts(wants_traceback=wants_traceback), None
    written: Sequence[Path] = ()
    with catch_warnings() as caught:
        try:
            written = attempts.make(name, partial(write_figure, name, frames, folder, files), [])
        except CannotWrite as error:
            cannot_write = str(error)
    return Drawn(
        written=written,
        not_made=attempts.not_made,
        num_failed=attempts.num_failed,
        unread=caught.unread,
        has_boxes=caught.has_boxes,
        cannot_write=cannot_write,
    )


def lost(names: Sequence[str], lost: Lost) -> list[Drawn]:
    """What became of figures whose process ended: defects."""
    return [Drawn(not_made=[(name, f"failed ({lost.reason})")], num_failed=1) for name in names]


def add_up(figures: Sequence[Drawn], attempts: Attempts, caught: CaughtWarnings) -> Sequence[Path]:
    """Add what became of the figures to the attempts and the warnings; return all files.

    Raises:
        CannotWrite: The files of one cannot be written.
    """
    for figure in figures:
        if figure.cannot_write is not None:
            raise CannotWrite(figure.cannot_write)
        attempts.num_failed += figure.num_failed
        caught.has_boxes |= figure.has_boxes
        for folder, reason in figure.unread.items():
            caught.unread.setdefault(folder, reason)
    # Before what the other parts lack, since readers look for figures first.
    attempts.not_made[:0] = [reason for figure in figures for reason in figure.not_made]
    return [path for figure in figures for path in figure.written]
