"""A comparison as Markdown for a pull request or the summary of a job (GitHub's dialect)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple

from bench.gate.model import Comparison, Problem, Row
from bench.gate.row_words import HEADINGS, row_words
from bench.gate.words import FAILING, legend, ordered, provenance_lines, verdict_line

# What GitHub would read as markup; an underscore only outside of a word.
_MARKUP = re.compile(r"[\\`*\[\]<>|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def markdown(comparison: Comparison) -> str:
    """All of a comparison: verdict, problems, failing rows, the others folded, where it is from."""
    failing = [row for row in ordered(comparison.rows) if row.verdict in FAILING]
    others = [row for row in ordered(comparison.rows) if row.verdict not in FAILING]
    blocks = [
        f"## {escaped(verdict_line(comparison))}",
        _problems(comparison.problems),
        _table(failing),
        _bullets(comparison.remarks),
        _folded(f"{len(others)} other row{'' if len(others) == 1 else 's'}", others),
        escaped(legend(comparison)) if comparison.rows else "",
        _bullets(provenance_lines(comparison)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escaped(text: str) -> str:
    """Text in one line that no reader takes for markup."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(text.split()))


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    lines = [f"> - **{problem.kind}**: {escaped(problem.message)}" for problem in problems]
    return "\n".join(["> [!CAUTION]", *lines])


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    headings = astuple(HEADINGS)
    lines = [_line(headings), _line(["---"] * len(headings), as_it_is=True)]
    return "\n".join([*lines, *(_line(astuple(row_words(row))) for row in rows)])


def _line(cells: Sequence[str], *, as_it_is: bool = False) -> str:
    return f"| {' | '.join(cells if as_it_is else map(escaped, cells))} |"


def _folded(summary: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    # GitHub reads Markdown inside of HTML only after an empty line.
    return f"<details><summary>{summary}</summary>\n\n{_table(rows)}\n\n</details>"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)
