"""What bench.compare does: reads both sides, compares them, and stores a baseline if asked to."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cli.app import run_once
from bench.cli.gate_output import report
from bench.gate.baseline import drift, write_baseline
from bench.gate.compare import compare
from bench.gate.config import CompareConfig, known_compare_keys
from bench.gate.model import EXIT_PASS, EXIT_TOO_LITTLE, Comparison, Problem
from bench.gate.runs import Side, read_side
from bench.gate.settings import HEALTH
from bench.gate.side import by_configuration, repeated
from bench.gate.words import accept_command, side_words, verdict_line


def compare_command() -> int:
    """Run bench.compare with the keys of the command line; its exit code."""
    return run_once("compare", CompareConfig, compare_runs, known_compare_keys())


def compare_runs(plain: Mapping[str, Any]) -> int:
    """Compare a candidate with a baseline, and store it as the new one where that is asked for.

    Args:
        plain: The resolved configuration of bench.compare.

    Returns:
        The exit code.

    Raises:
        ValueError: A value is out of range, or a path is not there, is no baseline, or cannot be
            written to; the message names the key.
    """
    config = CompareConfig.from_dict(plain)
    path = Path(config.baseline)
    candidate = _side("candidate", config.candidate)
    if config.accept and not path.exists():
        for key, file in config.output_files().items():
            print(f"note: {key}={file} is not written: there is nothing to compare with yet")
        return _accept(config, candidate, None)
    comparison = compare(_side("baseline", config.baseline), candidate, config.settings())
    remarks = [*comparison.remarks, *_remarks(comparison, config, candidate)]
    comparison = replace(comparison, remarks=remarks)
    report(comparison, config)
    return _accept(config, candidate, comparison) if config.accept else comparison.exit_code


def _side(key: str, path: str) -> Side:
    try:
        return read_side(Path(path))
    except ValueError as error:  # the message begins with the path
        raise ValueError(f"{key}={error}") from error


def _remarks(comparison: Comparison, config: CompareConfig, candidate: Side) -> list[str]:
    """What is to be known of the baseline: drift, and how to store a better one."""
    path = Path(config.baseline)
    if path.resolve() == Path(config.candidate).resolve():
        return ["baseline and candidate are the same runs: nothing can have regressed"]
    if not path.is_file():
        return []
    remarks = drift(path, candidate)
    improved = any(row.verdict == "improvement" for row in comparison.rows)
    if improved and comparison.exit_code == EXIT_PASS and not config.accept:
        command = accept_command(config.baseline, config.candidate)
        remarks.append(f"improved; store it, so that it is not lost again: {command}")
    return remarks


def _accept(config: CompareConfig, candidate: Side, old: Comparison | None) -> int:
    """Store the candidate, unless it is none to go by: runs that failed, or no fit ones."""
    problems = candidate.problems or _nothing_fit(config, candidate)
    if problems:
        for problem in problems:
            print(f"not stored: candidate: {problem.message}", file=sys.stderr)
        return _gravest(config, problems)
    try:
        write_baseline(Path(config.baseline), candidate)
    except ValueError as error:  # the message begins with the path
        raise ValueError(f"baseline={error}") from error
    print(f"stored: {side_words(config.baseline, candidate.provenance)}")
    for remark in _few_count(candidate) if old is None else []:
        print(f"note: {remark}")
    if unfit := sum(run.fit is False for run in candidate.runs):
        print(f"note: {unfit} of its {len(candidate.runs)} runs are unfit for comparison")
    if old is not None and old.exit_code != EXIT_PASS:
        print(f"stored in spite of: {verdict_line(old)}")
    return EXIT_PASS


def _few_count(side: Side) -> list[str]:
    """Which runs do not count, where no comparison says so."""
    groups = by_configuration(side.runs).values()
    return [*side.remarks, *(because for runs in groups if (because := repeated(runs)))]


def _nothing_fit(config: CompareConfig, candidate: Side) -> list[Problem]:
    """That no run is fit, unless unfit ones are wanted."""
    if HEALTH in config.settings().force or any(run.fit is not False for run in candidate.runs):
        return []
    message = (
        f"{candidate.name}: no run that is fit for comparison; measure again, or force=[health]"
    )
    return [Problem(kind="unfit", message=message, exit_code=EXIT_TOO_LITTLE)]


def _gravest(config: CompareConfig, problems: list[Problem]) -> int:
    """The exit code that these problems ask for, by the order that comparisons have."""
    nothing = Comparison(
        base_name=config.baseline,
        candidate_name=config.candidate,
        rows=[],
        problems=problems,
        alpha=config.alpha,
    )
    return nothing.exit_code
