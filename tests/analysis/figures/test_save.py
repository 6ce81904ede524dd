"""Figures as files: laid out once, whatever the formats, and fonts without what no reader uses."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from analysis.figures.save import save_figure


def figure() -> Figure:
    made = Figure(figsize=(3.5, 2.3), layout="constrained")
    axes = made.subplots()
    axes.plot([1, 2, 3], [10, 1000, 20])
    axes.set_ylabel("offices")  # a ligature, if the font had one
    return made


def test_a_file_does_not_depend_on_the_other_formats(tmp_path: Path) -> None:
    together = save_figure(figure(), tmp_path / "all")
    for path in together:
        (alone,) = save_figure(figure(), tmp_path / "one", [path.suffix[1:]])
        assert alone.read_bytes() == path.read_bytes()


def test_a_font_in_a_pdf_has_no_tables_for_shaping(tmp_path: Path) -> None:
    (path,) = save_figure(figure(), tmp_path / "made", ["pdf"])
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", path.read_bytes(), re.DOTALL)
    fonts = [text for text in map(decompressed, streams) if text.startswith(b"\x00\x01\x00\x00")]
    assert fonts
    for font in fonts:
        # Each entry of the directory has 16 bytes, and begins with the name of a table.
        num = int.from_bytes(font[4:6])
        tables = {font[12 + 16 * n : 16 + 16 * n] for n in range(num)}
        assert b"glyf" in tables
        assert not tables & {b"GSUB", b"GPOS", b"GDEF", b"kern"}


def test_a_png_has_no_transparency_and_its_resolution(tmp_path: Path) -> None:
    (path,) = save_figure(figure(), tmp_path / "made", ["png"])
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("RGB", (1050, 690))  # 3.5 x 2.3 inches at 300 dpi
        assert image.getpixel((0, 0)) == (255, 255, 255)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)


def decompressed(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""
