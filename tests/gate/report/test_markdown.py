"""A comparison as Markdown: its content, and that text from elsewhere never becomes markup."""

from __future__ import annotations

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bench.core.printable import markdown_safe
from bench.gate.model import Comparison
from bench.gate.report.writers import MARKER, markdown
from tests.gate.made_rows import (
    EXACT,
    FAILED,
    IMPROVED,
    LACKING,
    MODELLED,
    REGRESSED,
    UNCHANGED,
    UNDERPOWERED,
    comparison,
)

READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
EVERYTHING = comparison(
    [UNCHANGED, REGRESSED, EXACT, UNDERPOWERED, IMPROVED, MODELLED],
    [LACKING],
    ["the candidate drifted"],
)


def plain(tokens: list[Token]) -> str:
    """The text that a reader sees of some inline tokens."""
    return "".join(child.content for token in tokens for child in token.children or [])


def tables(text: str) -> list[list[list[str]]]:
    """All tables as a reader sees them: rows of cells, the headings first."""
    found: list[list[list[str]]] = []
    for token in READER.parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 4:
            found[-1][-1].append(plain([token]))
    return found


def test_the_order_is_verdict_problems_failing_rows_other_rows_origin() -> None:
    text = markdown(EVERYTHING)
    parts = [
        "## REGRESSION: 1 of 5 rows",
        "> [!CAUTION]",
        "> - **missing**: candidate lacks seed 3",
        "| train batch_size=32 | time_to_target_s |",
        "- the candidate drifted",
        "<details><summary>4 other rows</summary>",
        "</details>",
        "- base: perf/baseline.json, commit aaaaaaaaaa",
        "- candidate: results, commit bbbbbbbbbb",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_failing_rows_are_in_a_separate_table_and_the_others_are_folded() -> None:
    failing, others = tables(markdown(EVERYTHING))
    assert failing[0][:3] == ["configuration", "metric", "base -> candidate"]
    assert [row[1] for row in failing[1:]] == ["time_to_target_s", "latency_p99_ms"]
    assert failing[1] == [
        "train batch_size=32",
        "time_to_target_s",
        "455 -> 510 ms",
        "+12% [+8%, +16%]",
        "8/8",
        "0.0012",
        "regression: counts from +5%",
    ]
    assert [row[1] for row in others[1:]] == [
        "throughput_per_s",
        "latency_p50_ms",
        "samples_to_target",
        "energy_to_target_j",
    ]


def test_a_cell_survives_whatever_it_holds() -> None:
    name = "train a|b <b>*x*</b> `y` _z_ ~~q~~ [l](m) \\ model._target_=p.Q"
    (failing,) = tables(markdown(comparison([replace(REGRESSED, configuration=name)])))
    assert failing[1][0] == name
    assert len(failing[1]) == len(failing[0])


def test_a_message_of_a_run_makes_no_link_mention_picture_or_line() -> None:
    message = "@octocat #1 https://a.b www.a.b &lt; <img src=x>\n# Heading | `x` :smile:"
    text = markdown(comparison([], [replace(FAILED, message=message)], [message]))
    for markup in ("@octocat", "#1", "://", "www.a", " &lt;", " <img", "\n# H", " `x", " :smile:"):
        assert markup not in text
    shown = plain([token for token in READER.parse(text) if token.type == "inline"])
    assert shown.replace("\u200b", "").count(message.replace("\n", " ")) == 2


@pytest.mark.parametrize("text", ["a\nb", "a\r\n\r\n  b"])
def test_a_message_stays_in_its_line(text: str) -> None:
    assert markdown_safe(text) == "a b"


def test_words_keep_their_underscores() -> None:
    assert markdown_safe("time_to_target_s") == "time_to_target_s"


@pytest.mark.parametrize(
    ("made", "has_table", "has_folded"),
    [
        (comparison([REGRESSED]), True, False),
        (comparison([UNCHANGED]), False, True),
        (comparison([], [FAILED]), False, False),
    ],
)
def test_what_there_is_not_is_left_out(made: Comparison, has_table: bool, has_folded: bool) -> None:
    text = markdown(made)
    assert bool(tables(text.partition("<details>")[0])) is has_table
    assert ("<details>" in text) is has_folded
    assert ("p: one-sided" in text) is bool(made.rows)
    assert ("[!CAUTION]" in text) is bool(made.problems)


def test_a_comment_is_never_longer_than_github_takes() -> None:
    """Failing rows stay the longest: they come first."""
    many = [replace(REGRESSED, configuration=f"train lr={num}") for num in range(400)]
    others = [replace(UNCHANGED, configuration=f"train lr={num}") for num in range(400)]
    text = markdown(comparison([*others, *many]))
    assert len(text.encode()) <= 65_000
    assert text.count("**") == 0
    failing, *others_shown = tables(text)
    assert len(failing) > 300
    num_shown = sum(len(table) - 1 for table in (failing, *others_shown))
    assert f"{800 - num_shown} more rows: in the file of json=" in text
    # One row more would not fit.
    longest = max(len(line) for line in text.splitlines() if line.startswith("| train"))
    assert len(text.encode()) + 2 * longest > 65_000


def test_a_comment_lists_the_first_problems_and_counts_the_others() -> None:
    text = markdown(comparison([], [FAILED] * 100))
    assert text.count("**failed**") == 30
    assert "> - 70 more problems: in the output of the command" in text


def test_a_bot_finds_its_comment_again_by_a_line_that_nobody_sees() -> None:
    text = markdown(EVERYTHING)
    assert text.endswith(f"{MARKER}\n")
    assert "performance gate" not in "".join(plain([token]) for token in READER.parse(text))
