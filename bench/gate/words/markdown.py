"""A comparison as Markdown for a pull request or the summary of a job (GitHub's dialect)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from bench.core.printable import markdown_safe
from bench.gate.model import Comparison, Problem, Row
from bench.gate.words.row_words import HEADINGS, row_words
from bench.gate.words.sentences import FAILING, legend, ordered, provenance_lines, verdict_line


def markdown(comparison: Comparison) -> str:
    """All of a comparison: verdict, problems, failing rows, the others folded, where it is from."""
    failing = [row for row in ordered(comparison.rows) if row.verdict in FAILING]
    others = [row for row in ordered(comparison.rows) if row.verdict not in FAILING]
    blocks = [
        f"## {markdown_safe(verdict_line(comparison))}",
        _problems(comparison.problems),
        _table(failing),
        _bullets(comparison.remarks),
        _folded(f"{len(others)} other row{'' if len(others) == 1 else 's'}", others),
        markdown_safe(legend(comparison)) if comparison.rows else "",
        _bullets(provenance_lines(comparison)),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _problems(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    lines = [f"> - **{problem.kind}**: {markdown_safe(problem.message)}" for problem in problems]
    return "\n".join(["> [!CAUTION]", *lines])


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    headings = astuple(HEADINGS)
    lines = [_line(headings), _line(["---"] * len(headings), as_it_is=True)]
    return "\n".join([*lines, *(_line(astuple(row_words(row))) for row in rows)])


def _line(cells: Sequence[str], *, as_it_is: bool = False) -> str:
    return f"| {' | '.join(cells if as_it_is else map(markdown_safe, cells))} |"


def _folded(summary: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    # GitHub reads Markdown inside of HTML only after an empty line.
    return f"<details><summary>{summary}</summary>\n\n{_table(rows)}\n\n</details>"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_safe(line)}" for line in lines)
