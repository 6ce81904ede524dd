"""Matches two sides in one line: returns rows by metric, and the problems found."""

from __future__ import annotations

from typing import Any

from bench.config.gate import JudgeConfig
from bench.gate.matching.log import ProblemLog
from bench.gate.matching.match import match
from bench.gate.model import Problem, RowValues
from bench.gate.sides.side import Side
from tests.gate.made import made_side

FIVE = [1.0, 1.1, 0.9, 1.05, 0.95]
OTHER = "ba9876543210"


def matched(
    base: Side, candidate: Side, **settings: Any
) -> tuple[dict[str, RowValues], list[Problem], list[str]]:
    """Rows by the metric's name (of one configuration), problems and remarks."""
    log = ProblemLog(settings=JudgeConfig(**settings))
    rows = match(base, candidate, log, None)
    return {row.metric.name: row for row in rows}, log.problems, log.remarks


def kinds(problems: list[Problem]) -> list[tuple[str, int]]:
    return [(problem.kind, problem.exit_code) for problem in problems]


def times(values: list[float], **fields: Any) -> Side:
    return made_side({"time_to_target_s": values}, **fields)
