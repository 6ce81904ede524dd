"""The four forms of a comparison: terminal, Markdown, JSON and JUnit XML.

Names and messages come from elsewhere: each writer escapes what its readers would obey.
"""

from __future__ import annotations

import io
import json
import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

import numpy as np
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.terminal import safe_line, say
from bench.core.printable import markdown_safe, printable
from bench.gate.model import Comparison, Exit, GateRow, Problem
from bench.gate.report.cells import HEADINGS, cells, configuration, num_more
from bench.gate.report.explain import explanation_markdown
from bench.gate.report.sentences import FAILING, legend, ordered, provenance_lines, verdict_line

# Of the JSON: raised when a field is renamed or means something else; not when one is added.
FORMAT_VERSION = 2
_STYLES = {"regression": "bold red", "underpowered": "yellow", "improvement": "green"}
_SUITE = "performance gate"
# By this invisible line, a bot finds its own comment again, and replaces it.
MARKER = "<!-- opbench performance gate -->"
# A comment of GitHub has 65,536 characters at most.
_MOST_BYTES = 65_000
_MOST_PROBLEMS = 30
# Characters that XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print all of a comparison: the verdict, what failed, the rest, where the sides come from."""

    def line(text: str, style: str | None = None) -> None:
        # In one line, whatever names and messages hold: a second one would look like our own.
        say(console, printable(text), style)

    rows, verdict = comparison.rows, verdict_line(comparison)
    line(verdict, "bold green" if comparison.exit_code == Exit.PASS else "bold red")
    if rows:
        if len(_configurations(rows)) == 1:
            line(f"all rows: {configuration(rows[0])}")
        table = gate_table(rows)
        unbounded = console.options.update_width(10_000)
        if console.measure(table, options=unbounded).maximum > console.width:
            table = gate_table(rows, grouped=True)
        console.print(table)
    for problem in comparison.problems:
        if printable(problem.message) not in verdict:
            line(f"{problem.kind}: {problem.message}", "bold red")
    for remark in comparison.remarks:
        line(f"note: {remark}")
    for text in provenance_lines(comparison):
        line(text)
    if rows:
        say(console, legend(comparison), "dim")


def _configurations(rows: Sequence[GateRow]) -> set[str]:
    return {configuration(row) for row in rows}


def gate_table(rows: Sequence[GateRow], *, grouped: bool = False) -> Table:
    """Rows with what failed at the top; without a column for a configuration that all share.

    Args:
        rows: What is shown.
        grouped: Put each configuration above its rows, not beside them, for a narrower table.
    """
    is_single = len(_configurations(rows)) == 1
    hidden = {"configuration"} if is_single or grouped else set()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name, heading in HEADINGS.items():
        if name not in hidden:
            table.add_column(heading, no_wrap=name in ("metric", "runs", "p"), overflow="fold")
    longest = max(len(row.metric.name) for row in rows)
    above = None
    for row in ordered(rows):
        if grouped and not is_single and configuration(row) != above:
            above = configuration(row)
            # The column does not wrap: unfolded, it would get as wide as the configuration is long.
            table.add_row(Text(fill(safe_line(above), longest)), style="bold")
        # Text: brackets would be read as markup.
        texts = (Text(safe_line(text)) for name, text in cells(row).items() if name not in hidden)
        table.add_row(*texts, style=_STYLES.get(row.verdict))
    return table


def markdown(comparison: Comparison, *, most_bytes: int = _MOST_BYTES) -> str:
    """A comparison for a pull request or the summary of a job, in GitHub's dialect.

    Verdict, problems and failing rows come first; the other rows are folded. Of a comparison that
    is too long for a comment, the last rows are left out, and counted.

    Args:
        comparison: What is written.
        most_bytes: The longest text.
    """
    num_rows = range(len(comparison.rows) + 1)
    # The largest number of rows whose text is short enough.
    place = bisect_right(
        num_rows, most_bytes, key=lambda num: len(_markdown(comparison, num).encode())
    )
    return _markdown(comparison, num_rows[max(0, place - 1)])


def _markdown(comparison: Comparison, num_rows: int) -> str:
    """The text with the first rows only."""
    rows = ordered(comparison.rows)
    shown, left_out = rows[:num_rows], len(rows) - num_rows
    failing = [row for row in shown if row.verdict in FAILING]
    others = [row for row in shown if row.verdict not in FAILING]
    problems = [
        f"> - **{each.kind}**: {markdown_safe(each.message)}"
        for each in comparison.problems[:_MOST_PROBLEMS]
    ]
    if (num := len(comparison.problems) - _MOST_PROBLEMS) > 0:
        problems.append(f"> - {num_more(num, 'problem')}: in the output of the command")
    summary = f"{len(others)} other row{'' if len(others) == 1 else 's'}"
    blocks = [
        f"## {markdown_safe(verdict_line(comparison))}",
        "\n".join(["> [!CAUTION]", *problems]) if problems else "",
        _markdown_table(failing),
        _bullets(comparison.remarks),
        # GitHub reads Markdown inside of HTML only after an empty line.
        f"<details><summary>{summary}</summary>\n\n{_markdown_table(others)}\n\n</details>"
        if others
        else "",
        "" if comparison.explanation is None else explanation_markdown(comparison.explanation),
        f"{num_more(left_out, 'row')}: in the file of json=, and in the output of the command"
        if left_out
        else "",
        markdown_safe(legend(comparison)) if comparison.rows else "",
        _bullets(provenance_lines(comparison)),
        MARKER,
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _markdown_table(rows: Sequence[GateRow]) -> str:
    if not rows:
        return ""
    lines = [list(HEADINGS.values()), ["---"] * len(HEADINGS)]
    lines += [[markdown_safe(text) for text in cells(row).values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_safe(line)}" for line in lines)


def as_json(comparison: Comparison) -> str:
    """A comparison as JSON, with its exit code and its verdict line.

    Infinities and NaN become null: JSON cannot hold them.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "exit_code": comparison.exit_code,
        "verdict": verdict_line(comparison),
        **asdict(comparison),
    }
    return json.dumps(json_value(content), indent=2, allow_nan=False, default=str) + "\n"


def json_value(value: Any) -> Any:
    """A tree as JSON can hold it: without infinities, NaN and halves of characters."""
    if isinstance(value, Mapping):
        return {json_value(str(key)): json_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    # Halves of characters become their codes: no strict reader takes them.
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def junit_xml(comparison: Comparison) -> bytes:
    """A comparison as JUnit XML, which CI services show as tests: a test case for each row.

    A regression is a failure, a row without a verdict is skipped, and a problem is an error, as a
    test case of its own. Schema: that of Jenkins' xUnit plugin, which GitLab and others read too.
    """
    suite = TestSuite(_SUITE)
    for name, value in _properties(comparison).items():
        is_nested = isinstance(value, (Mapping, list, tuple))
        text = json.dumps(value, default=str) if is_nested else str(value)
        suite.add_property(name, _xml_text(text))
    for number, problem in enumerate(comparison.problems, start=1):
        suite.append(_problem_case(problem, number))
    for row in comparison.rows:
        suite.append(_row_case(row))
    suite.update_statistics()
    root = JUnitXml(_SUITE)
    root.append(suite)
    file = io.BytesIO()
    root.write(file)
    return file.getvalue()


def _properties(comparison: Comparison) -> dict[str, Any]:
    return {
        "verdict": verdict_line(comparison),
        "exit_code": comparison.exit_code,
        "alpha": comparison.alpha,
        "base": comparison.base_name,
        "candidate": comparison.candidate_name,
        **{
            f"{side}.{name}": value
            for side, facts in comparison.provenance.items()
            for name, value in facts.items()
        },
        **{f"remark.{n}": remark for n, remark in enumerate(comparison.remarks, start=1)},
    }


def _row_case(row: GateRow) -> TestCase:
    texts = cells(row)
    name = texts["configuration"].removeprefix(f"{row.command} ")
    case = TestCase(name=_xml_text(row.metric.name), classname=_xml_text(f"{row.command}.{name}"))
    message = _xml_text(f"{texts['medians']}, {texts['change']}: {texts['verdict']}")
    details = _xml_text("\n".join(f"{HEADINGS[key]}: {text}" for key, text in texts.items()))
    if row.verdict == "regression":
        case.result = _result(Failure, message, row.verdict, details)
    elif row.verdict in ("underpowered", "not judged"):
        case.result = _result(Skipped, message, row.verdict, details)
    else:
        case.system_out = details
    return case


def _problem_case(problem: Problem, number: int) -> TestCase:
    case = TestCase(name=f"{number}: {problem.kind}", classname="gate.problem")
    message = _xml_text(problem.message)
    case.result = _result(Error, message.partition("\n")[0], problem.kind, message)
    return case


def _result(cls: type[FinalResult], message: str, kind: str, text: str) -> FinalResult:
    result = cls(message, kind)
    result.text = text  # too: some services show only the message, others only the text
    return result


def _xml_text(text: str) -> str:
    """Lines that can be shown, of characters that XML can hold."""
    return _NOT_XML.sub("?", "\n".join(map(printable, text.split("\n"))))
