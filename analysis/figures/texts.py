"""Texts of figures: each line is shaped once per process, for all formats, widths and figures.

matplotlib shapes a line anew for each file, first to measure and then to draw it, which takes 10 us
for each character, and places each glyph of a PNG by itself, which takes 60 us.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from matplotlib import _text_helpers
from matplotlib.backends.backend_agg import get_hinting_flag
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.ft2font import FT2Font, LoadFlags

POINTS_PER_INCH = 72
_SUBPIXELS = 64  # of FreeType's lengths
_MOST_LINES = 2000  # that are kept; a bitmap takes up to 40 KB


@dataclass(frozen=True, slots=True)
class _Font:
    """A font with its fallbacks, in one size; what a line is shaped with."""

    files: tuple[Any, ...]
    size_pt: float

    def at(self, dpi: float) -> FT2Font:
        font = get_font(self.files)
        font.clear()
        font.set_size(self.size_pt, dpi)
        return font


@dataclass(frozen=True, slots=True, eq=False)
class Bitmap:
    """A line of text in pixels, hinted.

    Attributes:
        size: Width, height and descent.
        coverage: From 0 to 255; its left end is `left` pixels from the origin of the text, and its
            lowest row is the lowest of the descent.
        left: Pixels.
        missing: Warnings about characters that the font lacks.
    """

    size: tuple[float, float, float]
    coverage: Any
    left: int
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """A line of text without hints, as in files of vectors.

    Attributes:
        size_pt: Width, height and descent in points.
        glyphs: Glyphs with their places, as FT2Font lays them out.
        missing: Warnings about characters that the font lacks.
    """

    size_pt: tuple[float, float, float]
    glyphs: Sequence[Any]
    missing: tuple[str, ...]


def bitmap_of(text: str, properties: FontProperties, dpi: float) -> Bitmap:
    """The line as a bitmap; warns of characters that the font lacks."""
    line = _bitmap(text, font_of(properties), dpi)
    _warn(line.missing)
    return line


def outline_of(text: str, font: _Font) -> Outline:
    """The line as glyphs; warns of characters that the font lacks."""
    line = _outline(text, font)
    _warn(line.missing)
    return line


@lru_cache(maxsize=_MOST_LINES)
def font_of(properties: FontProperties) -> _Font:
    """The font that has these properties."""
    files = fontManager._find_fonts_by_props(properties)
    return _Font(tuple(files), float(properties.get_size_in_points()))


@lru_cache(maxsize=_MOST_LINES)
def heights(properties: FontProperties, dpi: float) -> tuple[float, float, float]:
    """Ascent, descent and gap between lines of a font in pixels, as matplotlib's Text has them."""
    font = font_of(properties)
    ascent, descent, gap = _relative_heights(font.files)
    size = font.size_pt * dpi / POINTS_PER_INCH
    return ascent * size, descent * size, gap * size


@cache
def _relative_heights(files: tuple[Any, ...]) -> tuple[float, float, float]:
    font = get_font(files)
    head, sizes = font.get_sfnt_table("head"), font.get_sfnt_table("OS/2")
    assert head is not None, "every font has this table"
    assert sizes is not None, "DejaVu Sans, which paper_style sets, has this table"
    units = head["unitsPerEm"]
    return (
        sizes["sTypoAscender"] / units,
        -sizes["sTypoDescender"] / units,
        sizes["sTypoLineGap"] / units,
    )


@contextmanager
def shaped_once() -> Iterator[None]:
    """Let a PDF's renderer take its glyphs from here."""
    # matplotlib has no setting for it; its own function also loads each glyph, for nothing.
    usual = _text_helpers.layout
    _text_helpers.layout = _glyphs  # type: ignore[assignment]
    try:
        yield
    finally:
        _text_helpers.layout = usual


def _glyphs(text: str, font: _Font, **_: Any) -> Sequence[Any]:
    return outline_of(text, font).glyphs


@lru_cache(maxsize=_MOST_LINES)
def _bitmap(text: str, font: _Font, dpi: float) -> Bitmap:
    shaper, hinting = font.at(dpi), get_hinting_flag()  # type: ignore[no-untyped-call]
    missing = _warned(lambda: shaper.set_text(text, 0.0, flags=hinting))
    shaper.draw_glyphs_to_bitmap(antialiased=True)
    width, height = shaper.get_width_height()
    left, _ = shaper.get_bitmap_offset()
    size = (width / _SUBPIXELS, height / _SUBPIXELS, shaper.get_descent() / _SUBPIXELS)
    # FreeType's image has an empty row above and below.
    return Bitmap(size, np.array(shaper.get_image())[1:-1], left // _SUBPIXELS, missing)


@lru_cache(maxsize=_MOST_LINES)
def _outline(text: str, font: _Font) -> Outline:
    shaper = font.at(POINTS_PER_INCH)
    glyphs = shaper._layout(text, LoadFlags.NO_HINTING)
    missing: tuple[str, ...] = ()
    if any(glyph.ft_object.fname not in font.files for glyph in glyphs):
        missing = _warned(lambda: font.at(POINTS_PER_INCH).set_text(text))
    boxes = [_box(glyph.ft_object, glyph.glyph_index, font.size_pt) for glyph in glyphs]
    width, low, high = 0.0, 0.0, 0.0
    if glyphs:
        width = glyphs[-1].x + boxes[-1][0]
        low = min(glyph.y + box[1] for glyph, box in zip(glyphs, boxes, strict=True))
        high = max(glyph.y + box[2] for glyph, box in zip(glyphs, boxes, strict=True))
    return Outline((width, high - low, -low), glyphs, missing)


@cache
def _box(font: FT2Font, glyph: Any, size_pt: float) -> tuple[float, float, float]:
    """Advance, lowest and highest place of a glyph in points."""
    font.set_size(size_pt, POINTS_PER_INCH)
    loaded = font.load_glyph(glyph, flags=LoadFlags.NO_HINTING)
    _, low, _, high = loaded.bbox
    return loaded.horiAdvance / _SUBPIXELS, low / _SUBPIXELS, high / _SUBPIXELS


def _warned(shape: Callable[[], object]) -> tuple[str, ...]:
    """The warnings of the function, which each later use of the line repeats."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shape()
    return tuple(str(warning.message) for warning in caught)


def _warn(missing: Sequence[str]) -> None:
    for message in missing:
        warnings.warn(message, stacklevel=3)
