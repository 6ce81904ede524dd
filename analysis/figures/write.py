"""Writes one figure of some runs: all widths and formats, and its data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.figures.caption import whole_caption
from analysis.figures.entries import entry_of
from analysis.figures.looks import assigned
from analysis.figures.methods import METHODS
from analysis.figures.registry import Frames, draw_figure, figure_data, figure_runs
from analysis.figures.save import save_all
from bench.config.report import WIDTH_IN, FilesConfig


def write_figure(
    name: str,
    frames: Frames,
    folder: Path,
    files: FilesConfig,
    *,
    run: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Path]:
    """Write one figure in all widths and formats, with its data.

    Args:
        name: Of the registry.
        frames: What was loaded.
        folder: Folder of the files.
        files: Widths and formats.
        run: Run ID of a timeline.
        options: x, y and area of a tradeoff.

    Returns:
        The files written.

    Raises:
        NothingToDraw: The runs lack what the figure shows.
        CannotWrite: The folder cannot be written to.
    """
    data = figure_data(name, frames, run=run, options=options)
    with assigned(frames.places()):
        figures = {width: draw_figure(name, data, width) for width in files.widths}
    shown = figure_runs(name, frames, data, run=run, options=options)
    # The widest figure has room for the most, so its caption is true of the others.
    widest = figures[max(figures, key=lambda width: WIDTH_IN[width])]
    caption = whole_caption(entry_of(name).title, widest, shown, METHODS.get(name, ""))
    return save_all(figures, data, caption, folder / name, files.formats)
