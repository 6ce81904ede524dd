"""Figures as files: PDF, SVG and PNG in the widths of a paper, and the plotted data beside them.

The same figure always gives the same bytes: files have no dates and no random identifiers.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.backend_bases import get_registered_canvas_class
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pandas import DataFrame
from PIL import Image

from analysis.figures.fonts import small_fonts
from analysis.figures.style import paper_style
from analysis.tables.files import writing
from analysis.tables.text_table import frame_csv

FORMATS = ("pdf", "svg", "png")

_COMPRESSION = 3  # of 9; more saves little and takes long

# Without the metadata that would make two files of one figure differ.
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}


def save_figure(figure: Figure, stem: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write one figure in some formats; its folder is created if it does not exist.

    Args:
        figure: What to write.
        stem: The files' path without its suffix.
        formats: Of pdf, svg and png.

    Returns:
        The files written.

    Raises:
        ValueError: There is no such format.
        CannotWrite: The folder cannot be written to.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ValueError(f"formats={unknown[0]}: must be of {', '.join(FORMATS)}")
    paths = []
    with paper_style():
        pixels = _lay_out(figure)
        for name in formats:
            path = stem.with_name(f"{stem.name}.{name}")
            content = _rendered(
                figure, name, pixels
            )  # first, so that only writing raises CannotWrite
            with writing(path.parent):
                path.write_bytes(content)
            paths.append(path)
    return paths


def _lay_out(figure: Figure) -> FigureCanvasAgg:
    """Compute the places of axes, labels and legends once, for all formats.

    They are those of a PNG. Figure.savefig would compute them for each format, with a drawing that
    is thrown away: together half of the time of a figure.

    Returns:
        What draws the PNG; it keeps the sizes of texts, which take long to compute.
    """
    canvas = FigureCanvasAgg(figure)  # never opens a window, in a notebook or a terminal
    figure.set_dpi(rcParams["savefig.dpi"])
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    return canvas


def _rendered(figure: Figure, name: str, pixels: FigureCanvasAgg) -> bytes:
    """The content of a file of a figure that is laid out."""
    file = io.BytesIO()
    figure.set_dpi(rcParams["savefig.dpi"])  # formats of vectors set another one
    if name == "png":
        figure.set_canvas(pixels)
        _save_pixels(pixels, file)
        return file.getvalue()
    canvas: Any = get_registered_canvas_class(name)(figure)
    with small_fonts():
        getattr(canvas, f"print_{name}")(file, metadata=_METADATA[name])
    return file.getvalue()


def _save_pixels(canvas: FigureCanvasAgg, file: io.BytesIO) -> None:
    """Draw a PNG, without transparency, which no figure has and which takes long to compress."""
    untyped: Any = canvas
    untyped.draw()
    dpi = canvas.figure.dpi
    Image.fromarray(np.asarray(untyped.buffer_rgba())).convert("RGB").save(
        file, "png", dpi=(dpi, dpi), compress_level=_COMPRESSION
    )


def save_data(data: DataFrame, path: Path) -> Path:
    """Write the data that a figure was drawn from, with all digits.

    Raises:
        CannotWrite: The folder cannot be written to.
    """
    with writing(path.parent):
        path.write_text(frame_csv(data), encoding="utf-8")
    return path


def save_all(
    figures: Mapping[str, Figure], data: DataFrame, stem: Path, formats: Sequence[str] = FORMATS
) -> list[Path]:
    """Write a figure in several widths and its data: `<stem>_<width>.<format>`, `<stem>.csv`.

    Args:
        figures: Figure by width.
        data: What all of them show.
        stem: The files' path without width and suffix.
        formats: Of pdf, svg and png.

    Raises:
        ValueError: There is no such format.
    """
    paths = [save_data(data, stem.with_name(f"{stem.name}.csv"))]
    for width, figure in figures.items():
        paths += save_figure(figure, stem.with_name(f"{stem.name}_{width}"), formats)
    return paths
