"""Renderers that shape each line of text once: the same places and glyphs as matplotlib's own."""

# mypy: allow-untyped-calls
# (matplotlib is typed in part)

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends import backend_pdf, backend_svg
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from analysis.figures.renderers import PixelCanvas, PixelRenderer
from analysis.figures.save import save_figure
from analysis.figures.style import paper_style
from analysis.figures.texts import font_of, outline_of
from bench.core.arrays import Floats

TEXTS = ("0.001", "gy Q", "Ta AV.", "10⁻³ µJ", "office", "a b ")
PROPERTIES = FontProperties(family="DejaVu Sans", size=7)


@pytest.mark.parametrize("text", TEXTS)
def test_a_line_has_the_size_that_matplotlib_measures(text: str) -> None:
    svg = backend_svg.RendererSVG(100, 100, io.StringIO())
    pdf = backend_pdf.RendererPdf(None, 72, 1, 1)
    size_pt = outline_of(text, font_of(PROPERTIES)).size_pt
    assert size_pt == pdf.get_text_width_height_descent(text, PROPERTIES, ismath=False)
    # An SVG's renderer measures at another size, and FreeType rounds each glyph to 1/64 point.
    measured = svg.get_text_width_height_descent(text, PROPERTIES, ismath=False)
    assert size_pt == pytest.approx(measured, abs=0.2)
    pixels = PixelRenderer(100, 100, 300).get_text_width_height_descent(text, PROPERTIES, False)
    usual = RendererAgg(100, 100, 300).get_text_width_height_descent(text, PROPERTIES, False)
    assert pixels == usual


def with_text(angle: float) -> Figure:
    """A square figure with a word that begins in its middle."""
    made = Figure(figsize=(2, 2), dpi=100)
    style: dict[str, Any] = {
        "ha": "left",
        "va": "baseline",
        "rotation_mode": "anchor",
        "parse_math": False,
    }
    made.text(0.5, 0.5, "Typography", rotation=angle, **style)
    return made


def grey(canvas: FigureCanvasAgg) -> Floats:
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0].astype(float)


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_a_line_in_pixels_is_where_matplotlib_draws_it(angle: float) -> None:
    ours, usual = grey(PixelCanvas(with_text(angle))), grey(FigureCanvasAgg(with_text(angle)))
    rows, columns = (np.flatnonzero((ours < 128).any(axis=axis)) for axis in (1, 0))
    usual_rows, usual_columns = (np.flatnonzero((usual < 128).any(axis=n)) for n in (1, 0))
    assert abs(rows[[0, -1]] - usual_rows[[0, -1]]).max() <= 1
    assert abs(columns[[0, -1]] - usual_columns[[0, -1]]).max() <= 1
    assert ours.sum() == pytest.approx(usual.sum(), rel=0.01)


def test_other_angles_are_left_to_matplotlib() -> None:
    ours, usual = (grey(canvas(with_text(30))) for canvas in (PixelCanvas, FigureCanvasAgg))
    assert (ours == usual).all()


def test_a_pdf_has_the_bytes_that_matplotlib_gives(tmp_path: Path) -> None:
    # Without the tables for shaping text: see fonts.py, whose effect is not the matter here.
    figure = with_text(90)
    axes = figure.subplots()
    axes.scatter([1, 2, 3], [3, 1, 2], c=["r", "g", "b"])
    axes.plot([1, 2], [1, 2], marker="o")
    axes.imshow([[0, 1], [1, 0]])
    (path,) = save_figure(figure, tmp_path / "ours", ["pdf"])
    usual = io.BytesIO()
    with paper_style(), mpl.rc_context({"pdf.compression": 6}):
        figure.set_dpi(mpl.rcParams["savefig.dpi"])
        canvas = backend_pdf.FigureCanvasPdf(figure)
        dates = dict.fromkeys(("CreationDate", "ModDate", "Producer", "Creator"))
        canvas.print_pdf(usual, metadata=dates)
    assert page_of(path.read_bytes()) == page_of(usual.getvalue())


def page_of(pdf: bytes) -> bytes:
    """What is drawn on the page: the first stream."""
    return pdf.partition(b"stream\n")[2].partition(b"endstream")[0]


def test_each_use_of_a_line_warns_of_missing_characters() -> None:
    for _ in range(2):
        with pytest.warns(UserWarning, match="missing from font"):
            outline_of("\u65e5", font_of(PROPERTIES))
        with pytest.warns(UserWarning, match="missing from font"):
            PixelRenderer(9, 9, 72).get_text_width_height_descent("\u65e5", PROPERTIES, False)
