"""Two sides in, a comparison out: match the runs, judge the rows, collect problems and remarks."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from pathlib import Path

from bench.config.gate import JudgeConfig
from bench.gate.matching.log import ProblemLog, listed
from bench.gate.matching.match import match
from bench.gate.model import Comparison, GateRow, GateRun
from bench.gate.rule.rule import judge
from bench.gate.settings import CONFIG
from bench.gate.sides.configurations import configuration_names, find_partners, with_base_hashes
from bench.gate.sides.noise import read_noise
from bench.gate.sides.side import SIDES, Configuration, Side, by_configuration, configuration_of


def compare(
    base: Side, candidate: Side, settings: JudgeConfig, *, alpha: float | None = None
) -> Comparison:
    """Compare two sides by the rule of the gate.

    Args:
        base: The side that the candidate is compared with.
        candidate: The side that is judged.
        settings: Level, selection and what is allowed.
        alpha: Level of this look, in place of that of the settings.

    Returns:
        Rows in the order of the base's configurations and of GATE_METRICS. If no row could be
        judged, a problem tells why.

    Raises:
        ValueError: The noise file is not there, or is not a file of noise floors.
    """
    level = settings.alpha if alpha is None else alpha
    noise = None if settings.noise is None else read_noise(Path(settings.noise))
    log = ProblemLog(settings=settings)
    log.add_side("base", base)
    log.add_side("candidate", candidate)
    values = match(*without_refused(base, candidate, log), log, noise)
    rows = [
        # More runs that share a seed and repeat would not count either.
        replace(row, more_runs=None) if row.configuration in log.repeated_names else row
        for row in judge(values, alpha=level, min_runs=settings.min_runs)
    ]
    if not log.problems and (reason := _why_nothing_judged(rows)):
        log.add("empty", reason)
    return Comparison(
        base_name=base.name,
        candidate_name=candidate.name,
        rows=rows,
        problems=log.problems,
        remarks=log.remarks,
        alpha=level,
        provenance={"base": base.provenance, "candidate": candidate.provenance},
    )


def _why_nothing_judged(rows: Sequence[GateRow]) -> str | None:
    """Why there is no verdict; None if there is one."""
    if not rows:
        return "nothing was judged: no pair of runs of both sides has any of the metrics compared"
    if any(row.verdict != "not judged" for row in rows):
        return None
    kinds = "modelled, or of runs that all missed their target"
    return f"nothing was judged: all metrics are {kinds}; choose others by metrics="


def without_refused(base: Side, candidate: Side, log: ProblemLog) -> tuple[Side, Side]:
    """Drop configurations that one side has no run of because it refuses them.

    Where both sides refuse one, or the base alone, that is a remark. Where the candidate refuses
    one that the base still ran, that is a failure.

    Args:
        base: One side.
        candidate: The other.
        log: Filled with what is refused.
    """
    if not base.refused and not candidate.refused:
        return base, candidate
    if CONFIG in log.settings.force:
        groups = (by_configuration(_all_runs(side)) for side in (base, candidate))
        candidate = with_base_hashes(candidate, find_partners(*groups))
    sides = base, candidate
    refused = [{configuration_of(run): reason for run, reason in side.refused} for side in sides]
    names = configuration_names([*_all_runs(base), *_all_runs(candidate)])
    ran = [by_configuration(side.runs) for side in sides]
    lost = [key for key in refused[1] if key in ran[0]]
    for key in lost:
        log.add("failed", f"candidate: {names[key]}: refuses now: {refused[1][key]}")
    for here, (name, reasons) in enumerate(zip(SIDES, refused, strict=True)):
        keys = [key for key in reasons if here == 0 or key not in lost]
        if keys:
            texts = listed([f"{names[key]} ({reasons[key]})" for key in keys])
            log.remark(f"{name} refuses these, so they are not compared: {texts}")
    gone = [
        {key for key in reasons if key not in group}
        for reasons, group in zip(refused, ran, strict=True)
    ]
    return _without(base, gone[1]), _without(candidate, gone[0])


def _all_runs(side: Side) -> list[GateRun]:
    return [*side.runs, *(run for run, _ in side.refused)]


def _without(side: Side, gone: Set[Configuration]) -> Side:
    return replace(side, runs=[run for run in side.runs if configuration_of(run) not in gone])
