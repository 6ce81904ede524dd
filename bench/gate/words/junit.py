"""A comparison as JUnit XML, which CI services show as tests: a test case for each row.

A regression is a failure; a row without a verdict is skipped; a problem is an error, as a test
case of its own. Schema: that of Jenkins' xUnit plugin, which GitLab and others read, too.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import FinalResult

from bench.core.printable import printable
from bench.gate.model import Comparison, Problem, Row
from bench.gate.words.row_words import HEADINGS, row_words
from bench.gate.words.sentences import verdict_line

_SUITE = "performance gate"
_SKIPPED = ("underpowered", "not judged")
# Characters that XML 1.0 cannot hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(comparison: Comparison) -> bytes:
    """All rows and problems of a comparison, with where both sides are from as properties."""
    suite = TestSuite(_SUITE)
    for name, value in _properties(comparison).items():
        suite.add_property(name, _clean(value))
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


def _properties(comparison: Comparison) -> dict[str, str]:
    facts: dict[str, Any] = {
        "verdict": verdict_line(comparison),
        "exit_code": comparison.exit_code,
        "alpha": comparison.alpha,
        "base": comparison.base_name,
        "candidate": comparison.candidate_name,
    }
    for side, values in comparison.provenance.items():
        facts |= {f"{side}.{name}": value for name, value in values.items()}
    for number, remark in enumerate(comparison.remarks, start=1):
        facts[f"remark.{number}"] = remark
    return {name: _text(value) for name, value in facts.items()}


def _text(value: Any) -> str:
    is_plain = not isinstance(value, (Mapping, list, tuple))
    return str(value) if is_plain else json.dumps(value, default=str)


def _row_case(row: Row) -> TestCase:
    words = row_words(row)
    configuration = words.configuration.removeprefix(f"{row.command} ")
    case = TestCase(name=row.metric.name, classname=_clean(f"{row.command}.{configuration}"))
    message = _clean(f"{words.medians}, {words.change}: {words.verdict}")
    pairs = zip(astuple(HEADINGS), astuple(words), strict=True)
    details = _clean("\n".join(f"{heading}: {cell}" for heading, cell in pairs))
    if row.verdict == "regression":
        case.result = _result(Failure, message, row.verdict, details)
    elif row.verdict in _SKIPPED:
        case.result = _result(Skipped, message, row.verdict, details)
    else:
        case.system_out = details
    return case


def _problem_case(problem: Problem, number: int) -> TestCase:
    case = TestCase(name=f"{number}: {problem.kind}", classname="gate.problem")
    message = _clean(problem.message)
    case.result = _result(Error, message.partition("\n")[0], problem.kind, message)
    return case


def _result(cls: type[FinalResult], message: str, kind: str, text: str) -> FinalResult:
    """With a text, too: some services show only the message, others only the text."""
    result = cls(message, kind)
    result.text = text
    return result


def _clean(text: str) -> str:
    """Lines that can be shown, of characters that XML can hold."""
    return _NOT_XML.sub("?", "\n".join(map(printable, text.split("\n"))))
