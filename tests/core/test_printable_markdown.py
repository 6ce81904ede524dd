from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from bench.core.printable import markdown_safe

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=alert(1)>",
        "a|b",
        "**bold** _x_ __init__ ~~gone~~ `code`",
        "[text](http://a.b) ![image](x)",
        "# Heading",
        "- item",
        "+ item",
        "12. item",
        "3) item",
        "---",
        "&lt; &copy; R&D",
        r"\* C:\new",
        "> quote",
    ],
)
def test_markdown_renders_as_plain_text(text: str) -> None:
    html = RENDERER.render(markdown_safe(text))
    shown = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert html.replace("\u200b", "") == f"<p>{shown}</p>\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@octocat", "@&#8203;octocat"),
        ("see #1, GH-2", "see #&#8203;1, GH-&#8203;2"),
        ("https://a.b", "https:&#8203;//a.b"),
        ("www.a.b", "www&#8203;.a.b"),
        (":smile:", ":&#8203;smile:"),
        ("$x_$", r"\$x\_\$"),
        ("a\n# Heading\x1b[31m", r"a # Heading\\x1b\[31m"),
    ],
)
def test_mentions_issues_and_links_of_github_are_broken(text: str, expected: str) -> None:
    assert markdown_safe(text) == expected


@pytest.mark.parametrize("text", ["energy_total_j", "money (US$)", "-5.0", "+30%", "12:30:45", "-"])
def test_ordinary_names_and_numbers_are_unchanged(text: str) -> None:
    assert markdown_safe(text) == text
