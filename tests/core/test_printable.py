from __future__ import annotations

import pytest

from bench.core.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lr=0.1 [bold] $x$ <b> Größe 日本", "lr=0.1 [bold] $x$ <b> Größe 日本"),
        ("two\nlines\tand\r\nmore", "two lines and  more"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),
        ("a\x00b\x9bc", r"a\x00b\x9bc"),
        ("abc\u202edcba", r"abc\u202edcba"),
        ("\ud800", r"\ud800"),
        (5, "5"),
    ],
)
def test_control_characters_are_escaped(text: object, shown: str) -> None:
    assert printable(text) == shown
