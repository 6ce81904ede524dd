"""What bench.compare does: reads both sides, compares them, and stores a baseline if asked to."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cli.app import run_once
from bench.cli.start import CRASHED
from bench.cli.terminal import say, wide_console
from bench.config.gate import CompareConfig
from bench.core.printable import printable
from bench.gate.matching.compare import compare
from bench.gate.model import EXIT_PASS, EXIT_TOO_LITTLE, Comparison, Problem, gravest
from bench.gate.run.arguments import word_for_word
from bench.gate.run.endings import told_in_files
from bench.gate.settings import HEALTH, known_keys, require_known, with_least_effects
from bench.gate.sides.baseline import drift, write_baseline
from bench.gate.sides.runs import read_side
from bench.gate.sides.side import Side, by_configuration, repeated
from bench.gate.words.output import complain, report, write
from bench.gate.words.sentences import accept_command, side_words, verdict_line


def compare_command() -> int:
    """Run bench.compare with the keys of the command line; its exit code."""
    schema = with_least_effects(CompareConfig)
    sys.argv[1:] = word_for_word(sys.argv[1:])
    return told_in_files(
        sys.argv[1:], lambda run: run_once("compare", schema, run, known_keys(schema)), compare_runs
    )


def compare_runs(plain: Mapping[str, Any]) -> int:
    """Compare a candidate with a baseline, and store it as the new one where that is asked for.

    Args:
        plain: The resolved configuration of bench.compare.

    Returns:
        The exit code.

    Raises:
        ValueError: A value is out of range, or a path is not there, is no baseline, or cannot be
            written to, as far as that can be known before; the message names the key.
    """
    config = CompareConfig.from_dict(plain)
    require_known(config)
    path = Path(config.baseline)
    candidate = _side("candidate", config.candidate)
    if config.accept and not os.path.exists(path):
        return _accept(config, candidate, None)
    comparison = compare(_side("baseline", config.baseline), candidate, config)
    remarks = [*comparison.remarks, *_remarks(comparison, config, candidate)]
    comparison = replace(comparison, remarks=remarks)
    code = report(comparison, config.output_files())
    if not config.accept:
        return code
    stored = _accept(config, candidate, comparison)
    return stored if code == comparison.exit_code else gravest([code, stored])


def _side(key: str, path: str) -> Side:
    try:
        return read_side(Path(path))
    except ValueError as error:  # the message begins with the path
        raise ValueError(f"{key}={error}") from error


def _remarks(comparison: Comparison, config: CompareConfig, candidate: Side) -> list[str]:
    """What is to be known of the baseline: drift, and how to store a better one."""
    path = Path(config.baseline)
    if os.path.realpath(path) == os.path.realpath(config.candidate):
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
    """Store the candidate, unless runs of it failed or none is comparable."""
    problems = [
        replace(each, message=f"not stored: candidate: {each.message}")
        for each in candidate.problems or _none_comparable(config, candidate)
    ]
    if problems:
        return _not_stored(config, problems, old)
    try:
        write_baseline(Path(config.baseline), candidate)
    except ValueError as error:  # the message begins with the path
        told = f"not stored: baseline={error}"
        return _not_stored(config, [Problem(kind="broken", message=told, exit_code=CRASHED)], old)
    console = wide_console()
    say(console, f"stored: {printable(side_words(config.baseline, candidate.provenance))}")
    for note in _notes(config, candidate) if old is None else []:
        say(console, f"note: {printable(note)}")
    if incomparable := sum(run.comparable is False for run in candidate.runs):
        say(console, f"note: {incomparable} of its {len(candidate.runs)} runs are not comparable")
    if old is not None and old.exit_code != EXIT_PASS:
        say(console, f"stored in spite of: {verdict_line(old)}")
    return EXIT_PASS


def _not_stored(config: CompareConfig, problems: list[Problem], old: Comparison | None) -> int:
    """Say why the candidate is not the baseline, in the files too where no comparison is there."""
    for problem in problems:
        complain(printable(problem.message))
    nothing = Comparison(
        base_name=config.baseline,
        candidate_name=config.candidate,
        rows=[],
        problems=problems,
        alpha=config.alpha,
    )
    return write(nothing, config.output_files()) if old is None else nothing.exit_code


def _notes(config: CompareConfig, side: Side) -> list[str]:
    """What no comparison says: which runs do not count, and that no file is written."""
    groups = by_configuration(side.runs).values()
    notes = [*side.remarks, *(because for runs in groups if (because := repeated(runs)))]
    for key, file in config.output_files().items():
        notes.append(f"{key}={file} is not written: there is nothing to compare with yet")
        if os.path.isfile(file):  # of an earlier check
            file.unlink()
            notes[-1] += "; that of an earlier check is removed"
    return notes


def _none_comparable(config: CompareConfig, candidate: Side) -> list[Problem]:
    """A problem if no run is comparable, unless incomparable ones are wanted."""
    if HEALTH in config.force or any(run.comparable is not False for run in candidate.runs):
        return []
    message = f"{candidate.name}: no run that is comparable; measure again, or force=[health]"
    return [Problem(kind="health", message=message, exit_code=EXIT_TOO_LITTLE)]
