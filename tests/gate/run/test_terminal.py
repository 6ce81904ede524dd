"""How commands print text from elsewhere, and a console whose reader has gone."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from bench.cli.terminal import safe_line, say, wide_console


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("::error::x", r"\x3a:error::x"),
        ("  ::set-output name=a::b", r"  \x3a:set-output name=a::b"),
        ("lost in a cell ::add-mask::x", r"lost in a cell \x3a:add-mask::x"),
        ("a ##[error]x ##vso[task.x]", r"a \x23#[error]x \x23#vso[task.x]"),
        ("\x1b[2J::STOP-commands::t", r"\x1b[2J\x3a:STOP-commands::t"),
        (
            "a.py::test_b std::vector<int> ## [x]",
            "a.py::test_b std::vector<int> ## [x]",
        ),
    ],
)
def test_what_a_ci_service_would_obey_is_shown_as_its_code(text: str, told: str) -> None:
    assert safe_line(text) == told


def test_line_breaks_stay_and_brackets_are_no_markup() -> None:
    console = Console(file=io.StringIO(), width=40)
    say(console, "[bold]a[/x]\n::debug::b")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "[bold]a[/x]\n\\x3a:debug::b\n"


def test_a_closed_output_is_not_treated_as_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    console = wide_console()
    assert console.width == 1000
    say(console, "to nobody")
