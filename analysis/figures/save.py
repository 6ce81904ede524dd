"""Figures as files: PDF, SVG and PNG in the widths of a paper, with their data and caption beside.

The same figure always gives the same bytes: files have no dates and no random identifiers.
"""

# mypy: allow-untyped-calls
# (matplotlib is typed in part)

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_mixed import MixedModeRenderer
from matplotlib.figure import Figure, SubFigure
from pandas import DataFrame
from PIL import Image

from analysis.figures.caption import latex_caption
from analysis.figures.renderers import PdfRenderer, PixelCanvas, SvgRenderer, VectorRenderer
from analysis.figures.style import paper_style
from analysis.figures.texts import POINTS_PER_INCH
from analysis.tables.files import writing
from analysis.tables.text_table import frame_csv

FORMATS = ("pdf", "svg", "png")
_COMPRESSION = 3  # of 9, of a PNG; more saves little and takes long
_DIGITS = 6  # of places as shares of a figure: a thousandth of a pixel

# That of a PDF comes last, see VectorRenderer.
_VECTORS: dict[str, type[SvgRenderer | PdfRenderer]] = {"svg": SvgRenderer, "pdf": PdfRenderer}


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
    with paper_style():
        pixels = _lay_out(figure)
        contents = {}  # made first, so that only writing raises CannotWrite
        if "png" in formats:
            contents["png"] = _png(pixels)
        contents |= _vectors(figure, [name for name in formats if name != "png"])
    paths = {name: stem.with_name(f"{stem.name}.{name}") for name in formats}
    with writing(stem.parent):
        for name, path in paths.items():
            path.write_bytes(contents[name])
    return list(paths.values())


def _lay_out(figure: Figure) -> PixelCanvas:
    """Compute the places of axes, labels and legends once, for all formats.

    They are those of a PNG. Figure.savefig would compute them for each format, with a drawing that
    is thrown away: together half of the time of a figure.

    Returns:
        What draws the PNG.
    """
    canvas = PixelCanvas(figure)  # never opens a window, in a notebook or a terminal
    figure.set_dpi(rcParams["savefig.dpi"])
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
        _round_places(figure)
    return canvas


def _round_places(figure: Figure) -> None:
    """Round the places of panels and axes: the solver's last digits differ from call to call."""
    for panel in figure.findobj(SubFigure):
        box = panel.bbox_relative
        box.p0, box.p1 = np.round(box.p0, _DIGITS), np.round(box.p1, _DIGITS)
    for axes in figure.findobj(Axes):
        axes.set_position(np.round(axes.get_position().bounds, _DIGITS))


def _png(canvas: PixelCanvas) -> bytes:
    """Draw a PNG, without transparency, which no figure has and which takes long to compress."""
    canvas.draw()
    size, dpi = canvas.get_width_height(physical=True), canvas.figure.dpi
    pixels = Image.frombuffer("RGBA", size, canvas.buffer_rgba()).convert("RGB")
    file = io.BytesIO()
    pixels.save(file, "png", compress_level=_COMPRESSION, dpi=(dpi, dpi))
    return file.getvalue()


def _vectors(figure: Figure, names: Sequence[str]) -> dict[str, bytes]:
    """Draw a PDF, an SVG or both of a figure that is laid out; their contents by format."""
    if not names:
        return {}
    (width, height), dpi = figure.get_size_inches(), figure.dpi
    files = {name: kind(width, height, dpi) for name, kind in _VECTORS.items() if name in names}
    figure.set_dpi(POINTS_PER_INCH)
    both = VectorRenderer(list(files.values()), width, height)
    mixed: Any = MixedModeRenderer(figure, width, height, dpi, both)  # images where points are many
    figure.draw(mixed)
    return {name: file.content() for name, file in files.items()}


def save_data(data: DataFrame, path: Path) -> Path:
    """Write the data that a figure was drawn from, with all digits.

    Raises:
        CannotWrite: The folder cannot be written to.
    """
    with writing(path.parent):
        path.write_text(frame_csv(data), encoding="utf-8")
    return path


def save_caption(caption: str, stem: Path) -> list[Path]:
    """Write the caption of a figure as `<stem>.txt`, and as `<stem>.tex` for a paper.

    Raises:
        CannotWrite: The folder cannot be written to.
    """
    texts = {"txt": f"{caption}\n", "tex": latex_caption(stem.name, caption)}
    paths = {stem.with_name(f"{stem.name}.{kind}"): text for kind, text in texts.items()}
    with writing(stem.parent):
        for path, text in paths.items():
            path.write_text(text, encoding="utf-8")
    return list(paths)


def save_all(
    figures: Mapping[str, Figure],
    data: DataFrame,
    caption: str,
    stem: Path,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Write a figure in several widths as `<stem>_<width>.<format>`, its data and its caption.

    Args:
        figures: Figure by width.
        data: What all of them show; `<stem>.csv`.
        caption: What is said about them; `<stem>.txt` and `<stem>.tex`.
        stem: The files' path without width and suffix.
        formats: Of pdf, svg and png.

    Raises:
        ValueError: There is no such format.
    """
    paths = [save_data(data, stem.with_name(f"{stem.name}.csv")), *save_caption(caption, stem)]
    for width, figure in figures.items():
        paths += save_figure(figure, stem.with_name(f"{stem.name}_{width}"), formats)
    return paths
