"""Two sides in, a comparison out: matched, judged, and with all that has to be said beside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.gate.matching.findings import Findings
from bench.gate.matching.match import match
from bench.gate.matching.refusals import without_refused
from bench.gate.model import Comparison, Row
from bench.gate.rule.rule import judge
from bench.gate.settings import GateSettings
from bench.gate.sides.noise import Floors, read_floors
from bench.gate.sides.side import SIDES, Side


def compare(
    base: Side, candidate: Side, settings: GateSettings, *, alpha: float | None = None
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
    floors = Floors() if settings.noise is None else read_floors(settings.noise)
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
