"""Fonts in PDF files: the glyphs that a file shows, taken from a small copy of the font.

fontTools reads the whole font for each subset. From a copy with the common glyphs only, the same
bytes come in a fifth of the time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from fontTools.subset import Options, Subsetter, load_font
from fontTools.ttLib import TTFont
from matplotlib.backends import _backend_pdf_ps
from matplotlib.font_manager import FontPath

# Latin, Greek, punctuation, arrows, operators, and ligatures.
_COMMON = (
    range(0x180),
    range(0x391, 0x3CA),
    range(0x2010, 0x2040),
    range(0x2190, 0x2194),
    range(0x2200, 0x2270),
    range(0xFB00, 0xFB07),
)
_MOST_KEPT = 100  # subsets, of some 20 KB
# A PDF places each glyph itself, so no reader looks at the tables for shaping text.
_NOT_NEEDED = ("FFTM", "GDEF", "GPOS", "GSUB", "MATH", "kern")


@contextmanager
def small_fonts() -> Iterator[None]:
    """Embed fonts without their tables for shaping text, from copies with the common glyphs."""
    # matplotlib has no setting for either.
    dropped, subset = Options._drop_tables_default, _backend_pdf_ps.get_glyphs_subset
    Options._drop_tables_default = [*dropped, *_NOT_NEEDED]
    _backend_pdf_ps.get_glyphs_subset = _subset
    try:
        yield
    finally:
        Options._drop_tables_default = dropped
        _backend_pdf_ps.get_glyphs_subset = subset


def _subset(
    fontfile: FontPath, glyphs: set[int]
) -> AbstractContextManager[_backend_pdf_ps.SubsetResults]:
    """As matplotlib's get_glyphs_subset."""
    content, indices = _content(fontfile, frozenset(glyphs))
    return nullcontext(_backend_pdf_ps.SubsetResults(_Written(content), dict(indices)))


@dataclass(frozen=True, slots=True)
class _Written:
    """Stands for a font of fontTools that has been written."""

    content: bytes

    def save(self, file: BinaryIO, **_: Any) -> None:
        """Write it to a file."""
        file.write(self.content)


@lru_cache(maxsize=_MOST_KEPT)
def _content(fontfile: FontPath, wanted: frozenset[int]) -> tuple[bytes, Mapping[int, int]]:
    """A font with these glyphs only, and the place there of each; a figure's widths share it."""
    content, places = _small_copy(fontfile)
    if not wanted <= places.keys():
        content, places = Path(fontfile.path).read_bytes(), {glyph: glyph for glyph in wanted}
    options = Options(glyph_names=True, recommended_glyphs=True, font_number=fontfile.face_index)
    small, file = load_font(io.BytesIO(content), options), io.BytesIO()
    subsetter = Subsetter(options=options)
    subsetter.populate(gids={places[glyph] for glyph in wanted})
    subsetter.subset(small)
    small.save(file, reorderTables=False)
    indices = {glyph: subsetter.glyph_index_map[places[glyph]] for glyph in wanted}
    return file.getvalue(), indices


@cache
def _small_copy(font: FontPath) -> tuple[bytes, Mapping[int, int]]:
    """The font with the common glyphs only, and the place there of each glyph of the font."""
    options = Options(
        glyph_names=True,
        recommended_glyphs=True,
        font_number=font.face_index,
        # A copy must keep all that a subset of the whole font would keep.
        notdef_outline=True,
        name_legacy=True,
        name_IDs=["*"],
        name_languages=["*"],
        legacy_cmap=True,
        symbol_cmap=True,
    )
    whole: TTFont = load_font(font.path, options)
    subsetter = Subsetter(options=options)
    subsetter.populate(unicodes={code for codes in _COMMON for code in codes})
    subsetter.subset(whole)
    file = io.BytesIO()
    whole.save(file, reorderTables=False)
    return file.getvalue(), subsetter.glyph_index_map
