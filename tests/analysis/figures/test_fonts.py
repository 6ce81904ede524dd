"""Fonts in PDF files."""

import io
from pathlib import Path

import matplotlib as mpl
import pytest
from fontTools.subset import Options
from fontTools.ttLib import TTFont
from matplotlib.backends import _backend_pdf_ps as pdf
from matplotlib.font_manager import FontPath

from analysis.figures import fonts
from analysis.figures.fonts import small_fonts

FONT = FontPath(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 0)


def _glyphs(text: str) -> set[int]:
    with TTFont(FONT.path) as font:
        return {font.getGlyphID(font.getBestCmap()[ord(sign)]) for sign in text}


def _embedded(glyphs: set[int]) -> tuple[bytes, dict[int, int]]:
    with small_fonts(), pdf.get_glyphs_subset(FONT, glyphs) as subset:
        content = io.BytesIO()
        subset.font.save(content, reorderTables=False)
        return content.getvalue(), {glyph: subset.glyph_index_map[glyph] for glyph in glyphs}


@pytest.mark.parametrize(
    "text", ["accuracy 0.97 (µs)", "\N{MINUS SIGN}", "x ☃"]
)  # the last is in no copy
def test_a_small_copy_gives_the_bytes_of_the_whole_font(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    glyphs = _glyphs(text)
    copied = _embedded(glyphs)
    assert copied == _embedded(glyphs)  # which is kept
    fonts._content.cache_clear()
    monkeypatch.setattr(fonts, "_small_copy", lambda _: (b"", {}))  # so every glyph is missing
    assert copied == _embedded(glyphs)
    assert len(TTFont(io.BytesIO(copied[0])).getGlyphOrder()) >= len(glyphs)


def test_the_settings_of_matplotlib_are_restored_after_an_error() -> None:
    before = pdf.get_glyphs_subset, Options._drop_tables_default
    with pytest.raises(KeyError), small_fonts():
        raise KeyError
    assert (pdf.get_glyphs_subset, Options._drop_tables_default) == before
