"""Two sides in, a comparison out: matched, judged, and with all that has to be said beside."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

from bench.config.gate import JudgeConfig
from bench.gate.matching.findings import Findings, listed
from bench.gate.matching.match import match
from bench.gate.matching.missing import lacking, taken_for_one
from bench.gate.model import Comparison, GateRun, Row
from bench.gate.rule.rule import judge
from bench.gate.settings import CONFIG
from bench.gate.sides.labels import labels
from bench.gate.sides.noise import Floors, read_floors
from bench.gate.sides.side import SIDES, Configuration, Side, by_configuration, configuration_of


def compare(
    base: Side, candidate: Side, settings: JudgeConfig, *, alpha: float | None = None
) -> Comparison:
    """Compare two sides by the rule of the gate.

    Args:
        base: What was.
        candidate: What is to be judged.
        settings: Level, selection and what is allowed.
        alpha: Level of this look, in place of that of the settings.

    Returns:
        Rows in the order of the base's configurations and of METRICS. With the problems of both
        sides; if no row could be judged there is one that says why.

    Raises:
        ValueError: The noise file is not there or none.
    """
    level = settings.alpha if alpha is None else alpha
    floors = Floors() if settings.noise is None else read_floors(Path(settings.noise))
    findings = Findings(settings=settings)
    for name, side in zip(SIDES, (base, candidate), strict=True):
        _add_side(findings, name, side)
    samples = match(*without_refused(base, candidate, findings), findings, floors)
    rows = [
        # More runs that share a seed and repeat would not count either.
        replace(row, more_runs=None) if row.configuration in findings.repeated_labels else row
        for row in judge(samples, alpha=level, min_runs=settings.min_runs)
    ]
    if not findings.problems and (reason := _nothing_judged(rows)):
        findings.empty(reason)
    return Comparison(
        base_name=base.name,
        candidate_name=candidate.name,
        rows=rows,
        problems=findings.problems,
        remarks=findings.remarks,
        alpha=level,
        provenance={
            name: side.provenance for name, side in zip(SIDES, (base, candidate), strict=True)
        },
    )


def _add_side(findings: Findings, name: str, side: Side) -> None:
    findings.problems += [
        replace(problem, message=f"{name}: {problem.message}") for problem in side.problems
    ]
    findings.remarks += [f"{name}: {remark}" for remark in side.remarks]


def _nothing_judged(rows: Sequence[Row]) -> str | None:
    """Why there is no verdict; None if there is one."""
    if not rows:
        return "nothing was judged: no pair of runs of both sides has any of the metrics compared"
    if any(row.verdict != "not judged" for row in rows):
        return None
    kinds = "modelled, or of runs that all missed their target"
    return f"nothing was judged: all metrics are {kinds}; choose others by metrics="


def without_refused(base: Side, candidate: Side, findings: Findings) -> tuple[Side, Side]:
    """Both sides without the configurations that one of them has no run of because it refuses them.

    What both refuse, or the base alone, is only to be known. What the candidate refuses and the
    base still served was lost.

    Args:
        base: One side.
        candidate: The other.
        findings: Filled with what is refused.
    """
    sides = base, candidate
    if not any(side.refused for side in sides):
        return sides
    if CONFIG in findings.settings.force:
        candidate = _taken_for_one(base, candidate)
        sides = base, candidate
    refused = [_reasons(side) for side in sides]
    names = labels([*_all(base), *_all(candidate)])
    ran = [by_configuration(side.runs) for side in sides]
    lost = [key for key in refused[1] if key in ran[0]]
    for key in lost:
        findings.failed(f"candidate: {names[key]}: refuses now: {refused[1][key]}")
    for here, (name, reasons) in enumerate(zip(SIDES, refused, strict=True)):
        told = [f"{names[key]} ({reasons[key]})" for key in reasons if here == 0 or key not in lost]
        if told:
            findings.remark(f"{name} refuses, so that it is not compared: {listed(told)}")
    gone = [
        {key for key in reasons if key not in group}
        for reasons, group in zip(refused, ran, strict=True)
    ]
    return _without(base, gone[1]), _without(candidate, gone[0])


def _taken_for_one(base: Side, candidate: Side) -> Side:
    """The candidate with the hashes of the base, where keys that one of them lacks differ only."""
    found = lacking(by_configuration(_all(base)), by_configuration(_all(candidate)))
    refused = taken_for_one([run for run, _ in candidate.refused], found)
    reasons = (reason for _, reason in candidate.refused)
    return replace(
        candidate,
        runs=taken_for_one(candidate.runs, found),
        refused=list(zip(refused, reasons, strict=True)),
    )


def _all(side: Side) -> list[GateRun]:
    return [*side.runs, *(run for run, _ in side.refused)]


def _reasons(side: Side) -> dict[Configuration, str]:
    return {configuration_of(run): reason for run, reason in side.refused}


def _without(side: Side, gone: Set[Configuration]) -> Side:
    return replace(side, runs=[run for run in side.runs if configuration_of(run) not in gone])
