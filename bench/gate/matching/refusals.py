"""Combinations that one side refuses: nothing was measured there, and nothing failed.

What both refuse, or the base alone, is only to be known. What the candidate refuses and the base
still served was lost.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from bench.gate.matching.findings import Findings, listed
from bench.gate.matching.missing import lacking
from bench.gate.model import GateRun
from bench.gate.settings import CONFIG
from bench.gate.sides.labels import labels
from bench.gate.sides.side import SIDES, Configuration, Side, by_configuration, configuration_of

_Refused = dict[Configuration, str]  # with the reason


def without_refused(base: Side, candidate: Side, findings: Findings) -> tuple[Side, Side]:
    """Both sides without the configurations that one of them has no run of because it refuses them.

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
    hashes = {each.candidate: each.base[1] for each in found}

    def same(run: GateRun) -> GateRun:
        return replace(run, config_hash=hashes.get(configuration_of(run), run.config_hash))

    return replace(
        candidate,
        runs=[same(run) for run in candidate.runs],
        refused=[(same(run), reason) for run, reason in candidate.refused],
    )


def _all(side: Side) -> list[GateRun]:
    return [*side.runs, *(run for run, _ in side.refused)]


def _reasons(side: Side) -> _Refused:
    return {configuration_of(run): reason for run, reason in side.refused}


def _without(side: Side, gone: Set[Configuration]) -> Side:
    return replace(side, runs=[run for run in side.runs if configuration_of(run) not in gone])
