from __future__ import annotations

import pytest

from bench.core.printable import csv_safe


@pytest.mark.parametrize(
    "text", ["=1+1", "=cmd|' /C calc'!A0", "+a", "-a", "@SUM(1)", " =1", "\uff1d1", "--1", "-1+1"]
)
def test_a_formula_becomes_text(text: str) -> None:
    assert csv_safe(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "+3.5e-3", "-inf", "-", "", "a=b", "lr=-0.1", "12"])
def test_numbers_and_other_texts_stay_as_they_are(text: str) -> None:
    assert csv_safe(text) == text


def test_unprintable_characters_are_escaped() -> None:
    assert csv_safe("\t=1\r\x00") == r"' =1 \x00"
