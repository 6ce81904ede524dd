"""bench.compare: read both sides, compare them, and store the candidate if asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cli.app import run_once
from bench.cli.terminal import say, wide_console
from bench.config.gate import CompareConfig
from bench.core.files import StoreError
from bench.core.find import runs_below
from bench.core.printable import printable
from bench.gate.history.keep import keep_history
from bench.gate.history.sentences import history_lines
from bench.gate.matching.compare import compare
from bench.gate.model import Comparison, Exit, Problem, gravest, problem
from bench.gate.report.output import complain, report, write
from bench.gate.report.sentences import side_line, verdict_line
from bench.gate.run.command import compare_line, run_gate_command, word_for_word
from bench.gate.settings import HEALTH, known_keys, require_known, with_least_effects
from bench.gate.sides.baseline import drift, write_baseline
from bench.gate.sides.read import read_side
from bench.gate.sides.side import Side, by_configuration, shared_places


def compare_command() -> int:
    """Run bench.compare with the keys of the command line; return its exit code."""
    schema = with_least_effects(CompareConfig)
    sys.argv[1:] = word_for_word(sys.argv[1:])
    return run_gate_command(
        sys.argv[1:], lambda run: run_once("compare", schema, run, known_keys(schema)), compare_runs
    )


def compare_runs(plain: Mapping[str, Any]) -> int:
    """Compare a candidate with a baseline, and store it as the new one if asked.

    Args:
        plain: The resolved configuration of bench.compare.

    Returns:
        The exit code.

    Raises:
        ValueError: A value is out of range, or a path does not exist, is no baseline, or cannot be
            written to, as far as that can be known before; the message names the key.
    """
    config = CompareConfig.from_dict(plain)
    require_known(config)
    candidate = _side("candidate", config.candidate, verify=config.verify)
    # The first time there is nothing to compare with, and that is no error.
    if config.accept and not os.path.exists(config.baseline):
        code = _accept(config, candidate, None)
        if code == Exit.PASS:
            keep_history(config, None, candidate)
        return code
    baseline = _side("baseline", config.baseline, verify=config.verify)
    comparison = compare(baseline, candidate, config)
    history = keep_history(config, baseline, candidate)
    remarks = [
        *comparison.remarks,
        *_remarks(comparison, config, candidate),
        *(history_lines(history) if history is not None else []),
    ]
    comparison = replace(comparison, remarks=remarks, history=history)
    code = report(comparison, config.output_files())
    if not config.accept:
        return code
    stored = _accept(config, candidate, comparison)
    # With accept=true a regression is not an error; a file that could not be written is.
    return stored if code == comparison.exit_code else gravest([code, stored])


def _side(key: str, path: str, *, verify: bool) -> Side:
    try:
        side = read_side(Path(path))
    except ValueError as error:  # the message begins with the path
        raise ValueError(f"{key}={error}") from error
    if verify and os.path.isfile(path):
        raise ValueError(
            f"verify=true: {key}={path} is a baseline file, which has no raw data; give the folder "
            "with its runs"
        )
    if verify:
        side.problems.extend(_unverified(path))
    return side


def _unverified(path: str) -> Iterator[Problem]:
    """A problem for each run whose record does not follow from its raw data, as far as is known."""
    from bench.verification.verify import verify_run  # imports CodeCarbon, which charges need

    for folder in sorted(map(Path, runs_below(path, on_error=lambda _: None))):
        try:
            found = verify_run(folder)
        except StoreError as error:  # the gate itself reads no raw data, so nothing else says so
            yield problem("incomparable", f"{folder.name} cannot be verified: {error}")
            continue
        if found.missing:
            files = " and ".join(found.missing)
            yield problem("incomparable", f"{folder.name} cannot be verified: without {files}")
        if found.differences:
            first, num = found.differences[0], len(found.differences)
            more = f", and {num - 1} more differ" if num > 1 else ""
            yield problem(
                "incomparable",
                f"{folder.name} does not verify: {first.key} is {first.stored}, but its raw data "
                f"give {first.recomputed}{more}; python -m bench.verify results={path} lists them",
            )


def _remarks(comparison: Comparison, config: CompareConfig, candidate: Side) -> list[str]:
    """Remarks on the baseline: drift, and how to store a better one."""
    path = Path(config.baseline)
    if os.path.realpath(path) == os.path.realpath(config.candidate):
        return ["baseline and candidate are the same runs: nothing can have regressed"]
    if not path.is_file():
        return []
    remarks = drift(path, candidate)
    improved = any(row.verdict == "improvement" for row in comparison.rows)
    # An improvement that is not stored can be lost again without anybody noticing.
    if improved and comparison.exit_code == Exit.PASS and not config.accept:
        line = compare_line(config.baseline, config.candidate, "accept=true")
        remarks.append(f"improved; store it to keep the gain: {line}")
    return remarks


def _accept(config: CompareConfig, candidate: Side, comparison: Comparison | None) -> int:
    """Store the candidate as the baseline, unless runs failed or none is comparable."""
    problems = [
        replace(each, message=f"not stored: candidate: {each.message}")
        for each in candidate.problems or _none_comparable(config, candidate)
    ]
    if not problems:
        try:
            write_baseline(Path(config.baseline), candidate)
        except ValueError as error:  # the message begins with the path
            message = f"not stored: baseline={error}"
            problems = [problem("broken", message)]
    if problems:
        return _report_not_stored(config, problems, is_compared=comparison is not None)
    console = wide_console()
    say(console, f"stored: {printable(side_line(config.baseline, candidate.provenance))}")
    for remark in _remarks_on_first(config, candidate) if comparison is None else []:
        say(console, f"note: {printable(remark)}")
    if incomparable := sum(run.comparable is False for run in candidate.runs):
        say(console, f"note: {incomparable} of its {len(candidate.runs)} runs are not comparable")
    if comparison is not None and comparison.exit_code != Exit.PASS:
        say(console, f"stored in spite of: {verdict_line(comparison)}")
    return Exit.PASS


def _report_not_stored(config: CompareConfig, problems: list[Problem], *, is_compared: bool) -> int:
    """Report why the candidate is not the baseline; in the files too if they hold nothing yet."""
    for each in problems:
        complain(printable(each.message))
    nothing = Comparison(
        base_name=config.baseline,
        candidate_name=config.candidate,
        problems=problems,
        alpha=config.alpha,
    )
    return nothing.exit_code if is_compared else write(nothing, config.output_files())


def _remarks_on_first(config: CompareConfig, side: Side) -> list[str]:
    """Remarks where there was no baseline to compare with: runs and files that do not count."""
    groups = by_configuration(side.runs).values()
    remarks = [*side.remarks, *(reason for runs in groups if (reason := shared_places(runs)))]
    for key, file in config.output_files().items():
        remarks.append(f"{key}={file} is not written: there is nothing to compare with yet")
        if os.path.isfile(file):  # of an earlier check
            file.unlink()
            remarks[-1] += "; that of an earlier check is removed"
    return remarks


def _none_comparable(config: CompareConfig, candidate: Side) -> list[Problem]:
    """A problem if no run is comparable, unless force=[health] keeps incomparable ones."""
    if HEALTH in config.force or any(run.comparable is not False for run in candidate.runs):
        return []
    message = f"{candidate.name}: no run that is comparable; measure again, or force=[health]"
    return [problem("health", message)]
