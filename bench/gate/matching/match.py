"""Which runs of two sides are compared with which, and the rows that this gives.

Runs of one command and configuration are paired by seed and repeat (a served model by its own
training's seed, too). Only pairs enter: what one side lacks is told, never compared by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.labels import ENERGY_FLAGS, ROW_FLAGS
from bench.gate.matching.findings import Findings, listed
from bench.gate.matching.missing import Groups, Lacking, lacking, taken_for_one
from bench.gate.matching.rows import Alike, Rows
from bench.gate.model import GateRun, Samples
from bench.gate.settings import CONFIG, HEALTH
from bench.gate.sides.facts import FACTS, JOULES
from bench.gate.sides.labels import labels, nearest_differences
from bench.gate.sides.noise import Floors
from bench.gate.sides.side import (
    SIDES,
    Configuration,
    Pair,
    Side,
    by_configuration,
    place_of,
    place_words,
    repeated,
)


def match(base: Side, candidate: Side, findings: Findings, floors: Floors) -> list[Samples]:
    """The rows that can be compared; what is wrong goes to the findings.

    Args:
        base: One side.
        candidate: The other.
        findings: Filled; its settings select metrics and allow what may differ.
        floors: Of noise.
    """
    groups = by_configuration(base.runs), by_configuration(candidate.runs)
    if not all(groups):
        for name, side, group in zip(SIDES, (base, candidate), groups, strict=True):
            if not group and not side.problems and not side.refused:
                findings.empty(f"{name}: {side.name} has no runs; measure some")
        return []
    partners = lacking(*groups)
    if CONFIG in findings.settings.force:
        groups = groups[0], by_configuration(taken_for_one(candidate.runs, partners))
    names = labels([run for group in groups for runs in group.values() for run in runs])
    common = [key for key in groups[0] if key in groups[1]]
    if not common:
        findings.incomparable(_nothing_in_common(*groups, partners))
        return []
    for each in partners if CONFIG in findings.settings.force else []:
        findings.remark(f"{names[each.base]}: {each.words()} (forced)")
    _tell_lacking(groups, names, partners, findings)
    matching = _Matching(findings, floors)
    rows = [
        row for key in common for row in matching.rows(groups[0][key], groups[1][key], names[key])
    ]
    matching.finish()
    return rows


def _nothing_in_common(base: Groups, candidate: Groups, partners: Sequence[Lacking]) -> str:
    firsts = [[runs[0] for runs in group.values()] for group in (base, candidate)]
    commands = [sorted({command for command, _ in group}) for group in (base, candidate)]
    told = nearest_differences(*firsts)
    if told:
        because = f"the nearest two differ in {', '.join(told)}"
    elif set(commands[0]) & set(commands[1]):
        because = "no key differs, but the hash; were both written by one version?"
    else:
        because = (
            f"base has runs of {', '.join(commands[0])}, candidate of {', '.join(commands[1])}"
        )
    remedy = "run both with the same keys"
    if partners:
        remedy = f"{partners[0].words()}: force=[{CONFIG}] compares them all the same"
    return f"no configuration in common ({because}); {remedy}"


def _tell_lacking(
    groups: Sequence[Groups],
    names: dict[Configuration, str],
    partners: Sequence[Lacking],
    findings: Findings,
) -> None:
    words = {key: each.words() for each in partners for key in (each.base, each.candidate)}
    for here, (group, other) in enumerate(zip(groups, reversed(groups), strict=True)):
        for key, runs in group.items():
            if key not in other:
                findings.missing(
                    f"{names[key]}: {SIDES[here]} has {len(runs)} runs of it, "
                    f"{SIDES[1 - here]} none"
                    + (f" ({words[key]}: force=[{CONFIG}] compares them)" if key in words else "")
                )


class _Matching:
    """Makes the rows of one configuration after the other."""

    def __init__(self, findings: Findings, floors: Floors) -> None:
        self._findings = findings
        self._floors = floors
        self._alike = Alike(findings)
        self._rows = Rows(findings, floors, self._alike)
        self._compared = False

    def rows(self, base: list[GateRun], candidate: list[GateRun], label: str) -> list[Samples]:
        """Of the runs of one configuration."""
        pairs = self._comparable(self._paired(base, candidate, label), label)
        rows = self._rows_of(pairs, label) if pairs and self._same_facts(pairs) else []
        too_few = len(pairs) < self._findings.settings.min_runs
        if too_few and (not pairs or any(row.kind == "measured" for row in rows)):
            self._report_repeated((base, candidate), label)
        return rows

    def _rows_of(self, pairs: list[Pair], label: str) -> list[Samples]:
        self._compared = True
        self._tell_invalid(pairs, label)
        self._report_without_joules(pairs, label)
        first = pairs[0][0]
        if not self._floors.knows(first.facts, first.config_hash):
            self._findings.remark(
                f"{label}: the noise file has no floors for this kind of host and configuration; "
                "python -m bench.noise ref=BASE adds them"
            )
        return self._rows.of(pairs, label)

    def _report_repeated(self, sides: Sequence[list[GateRun]], label: str) -> None:
        messages = [
            f"{name}: {because}"
            for name, runs in zip(SIDES, sides, strict=True)
            if (because := repeated(runs))
        ]
        if messages:
            self._findings.repeated(label, messages)

    def finish(self) -> None:
        """Report metrics that were asked for by name and that no run has, and unrecorded facts."""
        for name in self._rows.unfound() if self._compared else []:
            self._findings.missing(f"metrics={name}: no run of either side has it")
        self._alike.report_unrecorded()

    def _paired(self, base: list[GateRun], candidate: list[GateRun], label: str) -> list[Pair]:
        places = [{place_of(run): run for run in side} for side in (base, candidate)]
        both = [place for place in places[0] if place in places[1]]
        alone = [
            f"{name} alone has {listed([place_words(side[place]) for place in rest])}"
            for name, side in zip(SIDES, places, strict=True)
            if (rest := [place for place in side if place not in both])
        ]
        if alone:
            self._findings.missing(
                f"{label}: base has {len(base)} runs, candidate {len(candidate)}, {len(both)} of "
                f"the same seed and repeat; {'; '.join(alone)}"
            )
        return [(places[0][place], places[1][place]) for place in both]

    def _comparable(self, pairs: list[Pair], label: str) -> list[Pair]:
        """Without pairs of which one run is incomparable, unless those are wanted."""
        incomparable = [
            f"{name} {run.run_id} ({', '.join(run.flags) or 'no flag'})"
            for pair in pairs
            for name, run in zip(SIDES, pair, strict=True)
            if run.comparable is False
        ]
        if not incomparable:
            return pairs
        told = listed(incomparable)
        if HEALTH in self._findings.settings.force:
            self._findings.remark(f"{label}: incomparable runs are kept: {told} (forced)")
            return pairs
        kept = [pair for pair in pairs if all(run.comparable is not False for run in pair)]
        left_out = f"{len(pairs) - len(kept)} of {len(pairs)} pairs left out"
        message = f"{label}: {left_out}, incomparable: {told}"
        if len(kept) >= self._findings.settings.min_runs:
            self._findings.remark(message)
        else:
            self._findings.health(f"{message}; measure these again, or force=[{HEALTH}] keeps them")
        return kept

    def _tell_invalid(self, pairs: list[Pair], label: str) -> None:
        """Servings that do not count stay in: to leave out what was too slow would hide it."""
        told = [
            f"{name} {run.run_id} ({'; '.join(run.invalid)})"
            for pair in pairs
            for name, run in zip(SIDES, pair, strict=True)
            if run.invalid
        ]
        if told:
            self._findings.invalid(f"{label}: served, but not validly: {listed(told)}")

    def _report_without_joules(self, pairs: list[Pair], label: str) -> None:
        """Runs whose flags speak against their joules only: the rest of them is compared."""
        flagged = [
            f"{name} {run.run_id} ({', '.join(flags)})"
            for pair in pairs
            for name, run in zip(SIDES, pair, strict=True)
            if (flags := [flag for flag in run.flags if flag in (*ENERGY_FLAGS, *ROW_FLAGS)])
        ]
        if flagged and self._rows.has_joules:
            self._findings.remark(
                f"{label}: joules are not compared of {listed(flagged)}; all else is"
            )

    def _same_facts(self, pairs: list[Pair]) -> bool:
        """Whether all facts are the same but those of joules, which matter where those are."""
        names = [name for name in FACTS if name not in JOULES]
        # A list: all of them are reported.
        return all([self._alike.same(name, pairs) for name in names])
