"""Renderers of figures: pixels with lines of text from a cache, and PDF and SVG in one drawing."""

# mypy: allow-untyped-calls
# (matplotlib is typed in part)

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partialmethod
from typing import Any

import numpy as np
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.backends.backend_pdf import PdfFile, RendererPdf
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.font_manager import FontProperties

from analysis.figures.fonts import small_fonts
from analysis.figures.texts import (
    POINTS_PER_INCH,
    bitmap_of,
    font_of,
    heights,
    outline_of,
    shaped_once,
)


class PixelCanvas(FigureCanvasAgg):
    """As FigureCanvasAgg, with our renderer."""

    def get_renderer(self) -> RendererAgg:
        """The renderer for the present size of the figure."""
        width, height = self.get_width_height(physical=True)
        key = width, height, self.figure.dpi
        if self._lastKey != key:
            self.renderer: RendererAgg = PixelRenderer(*key)
            self._lastKey = key
        return self.renderer


class PixelRenderer(RendererAgg):
    """As RendererAgg, but a line of text is drawn as a whole, at the nearest pixel."""

    def _get_font_height_metrics(self, prop: FontProperties) -> tuple[float, float, float]:
        return heights(prop, self.dpi)

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        """Of a line of text, in pixels."""
        if ismath:
            return super().get_text_width_height_descent(s, prop, ismath)  # type: ignore[no-any-return]
        return bitmap_of(s, prop, self.dpi).size

    def draw_text(
        self,
        gc: Any,
        x: float,
        y: float,
        s: str,
        prop: FontProperties,
        angle: float,
        ismath: Any = False,
        mtext: Any = None,
    ) -> None:
        """Draw a line; one that is neither horizontal nor vertical as matplotlib does."""
        turns = round(angle / 90)
        if ismath or angle != 90 * turns or not gc.get_antialiased():
            super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)
            return
        line = bitmap_of(s, prop, self.dpi)
        image = np.ascontiguousarray(np.rot90(line.coverage, turns))
        height, width = line.coverage.shape
        descent, right = line.size[2], line.left + width
        # From the origin of the text to the left and to the lowest edge of the image.
        left, bottom = (
            (line.left, descent),
            (descent - height, -line.left),
            (-right, height - descent),
            (-descent, right),
        )[turns % 4]
        self._renderer.draw_text_image(image, round(x + left), round(y + bottom), 0, gc)


class PdfRenderer(RendererPdf):
    """As RendererPdf, with glyphs and fonts from caches, for a file in memory."""

    def __init__(self, width_in: float, height_in: float, dpi: float) -> None:
        """Begin the file; the resolution is that of images in it."""
        self._file = io.BytesIO()
        dates = ("CreationDate", "ModDate", "Producer", "Creator")
        file = PdfFile(self._file, metadata=dict.fromkeys(dates))
        file.newPage(width_in, height_in)
        super().__init__(file, dpi, height_in, width_in)

    def _get_font_ttf(self, prop: FontProperties) -> Any:
        return font_of(prop)

    def draw_text(self, *text: Any, **more: Any) -> None:
        """Draw a line of text."""
        with shaped_once():
            super().draw_text(*text, **more)

    def content(self) -> bytes:
        """End the file, and return what is in it."""
        self.finalize()
        with small_fonts():
            self.file.finalize()
        self.file.close()
        return self._file.getvalue()


class SvgRenderer(RendererSVG):
    """As RendererSVG, for a file in memory."""

    def __init__(self, width_in: float, height_in: float, dpi: float) -> None:
        """Begin the file; the resolution is that of images in it."""
        self._file = io.StringIO()
        size = width_in * POINTS_PER_INCH, height_in * POINTS_PER_INCH
        nothing = dict.fromkeys(("Date", "Creator"))
        super().__init__(*size, self._file, image_dpi=dpi, metadata=nothing)

    def content(self) -> bytes:
        """End the file, and return what is in it."""
        self.finalize()
        return self._file.getvalue().encode()


class VectorRenderer(RendererBase):
    """Draws the same into a PDF and an SVG, since going through the figure takes most of the time.

    The vertical axis points up, as in a PDF.
    """

    def __init__(self, renderers: Sequence[Any], width_in: float, height_in: float) -> None:
        """Keep the renderers of the files; that of a PDF comes last."""
        super().__init__()
        self._renderers = renderers
        self._size_pt = width_in * POINTS_PER_INCH, height_in * POINTS_PER_INCH

    def _in_all(self, *arguments: Any, name: str, **more: Any) -> None:
        for renderer in self._renderers:
            getattr(renderer, name)(*arguments, **more)

    open_group = partialmethod(_in_all, name="open_group")
    close_group = partialmethod(_in_all, name="close_group")
    draw_path = partialmethod(_in_all, name="draw_path")
    draw_markers = partialmethod(_in_all, name="draw_markers")
    draw_path_collection = partialmethod(_in_all, name="draw_path_collection")
    draw_quad_mesh = partialmethod(_in_all, name="draw_quad_mesh")
    draw_image = partialmethod(_in_all, name="draw_image")

    def draw_text(self, gc: Any, x: float, y: float, *text: Any, **more: Any) -> None:
        """Draw a line of text."""
        for renderer in self._renderers:
            place = self._size_pt[1] - y if renderer.flipy() else y
            renderer.draw_text(gc, x, place, *text, **more)

    def new_gc(self) -> Any:
        """The state of a drawing; that of a PDF has what others need."""
        return self._renderers[-1].new_gc()

    def flipy(self) -> bool:
        """Whether the vertical axis points down."""
        return False

    def get_canvas_width_height(self) -> tuple[float, float]:
        """Of the figure, in points."""
        return self._size_pt

    def get_image_magnification(self) -> float:
        """Pixels of an image for each point."""
        return float(self._renderers[-1].get_image_magnification())

    def option_image_nocomposite(self) -> bool:
        """Whether images that lie on one another are kept apart."""
        return False

    def option_scale_image(self) -> bool:
        """Whether images can be scaled."""
        return True

    def _get_font_height_metrics(self, prop: FontProperties) -> tuple[float, float, float]:
        return heights(prop, POINTS_PER_INCH)

    def get_text_width_height_descent(
        self, s: str, prop: FontProperties, ismath: Any
    ) -> tuple[float, float, float]:
        """Of a line of text, in points."""
        if ismath:
            return super().get_text_width_height_descent(s, prop, ismath)
        return outline_of(s, font_of(prop)).size_pt
