"""Which runs of two sides are compared with which, and the rows that this gives.

Runs of one command and configuration are paired by seed and repeat (a served model by its own
training's seed, too). Only pairs enter: what one side lacks is told, never compared by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.gate.facts import FACTS, LABELS
from bench.gate.findings import Findings
from bench.gate.labels import labels, nearest_differences
from bench.gate.lacking import Groups, Lacking, lacking, taken_for_one
from bench.gate.model import GateRun, Kind, Metric, Samples
from bench.gate.noise import Floors
from bench.gate.settings import CONFIG, HEALTH
from bench.gate.side import Configuration, Side, by_configuration, place_of, place_words, seed_words
from bench.gate.values import value_of

Pair = tuple[GateRun, GateRun]  # base, candidate

SIDES = ("base", "candidate")
_MOST_NAMED = 5


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
            if not group and not side.problems:
                findings.empty(f"{name}: {side.name} has no runs; measure some")
        return []
    partners = lacking(*groups)
    if CONFIG in findings.settings.force:
        groups = groups[0], taken_for_one(candidate.runs, partners)
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
    matching.tell_unfound()
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
        self._metrics = findings.settings.selected()
        self._found: set[str] = set()
        self._compared = False

    def rows(self, base: list[GateRun], candidate: list[GateRun], label: str) -> list[Samples]:
        """Of the runs of one configuration."""
        pairs = self._fit(self._paired(base, candidate, label), label)
        if not pairs or not self._alike(pairs):
            return []
        self._compared = True
        self._tell_invalid(pairs, label)
        first = pairs[0][0]
        if not self._floors.knows(first.facts, first.config_hash):
            self._findings.remark(
                f"{label}: the noise file has no floors for this kind of host and configuration; "
                "python -m bench.noise ref=BASE adds them"
            )
        rows = (self._row(metric, pairs, label) for metric in self._metrics)
        return [row for row in rows if row is not None]

    def tell_unfound(self) -> None:
        """Metrics that were asked for by name and that no run has."""
        asked = self._findings.settings.metrics or []
        for name in asked if self._compared else []:
            if name not in self._found:
                self._findings.missing(f"metrics={name}: no run of either side has it")

    def _paired(self, base: list[GateRun], candidate: list[GateRun], label: str) -> list[Pair]:
        places = [{place_of(run): run for run in side} for side in (base, candidate)]
        both = [place for place in places[0] if place in places[1]]
        alone = [
            f"{name} alone has {_listed([place_words(side[place]) for place in rest])}"
            for name, side in zip(SIDES, places, strict=True)
            if (rest := [place for place in side if place not in both])
        ]
        if alone:
            self._findings.missing(
                f"{label}: base has {len(base)} runs, candidate {len(candidate)}, {len(both)} of "
                f"the same seed and repeat; {'; '.join(alone)}"
            )
        return [(places[0][place], places[1][place]) for place in both]

    def _fit(self, pairs: list[Pair], label: str) -> list[Pair]:
        """Without pairs of which one run is unfit, unless those are wanted."""
        unfit = [
            f"{name} {run.run_id} ({', '.join(run.flags) or 'no flag'})"
            for pair in pairs
            for name, run in zip(SIDES, pair, strict=True)
            if run.fit is False
        ]
        if not unfit:
            return pairs
        told = _listed(unfit)
        if HEALTH in self._findings.settings.force:
            self._findings.remark(f"{label}: unfit runs are kept: {told} (forced)")
            return pairs
        kept = [pair for pair in pairs if all(run.fit is not False for run in pair)]
        message = f"{label}: {len(pairs) - len(kept)} of {len(pairs)} pairs left out, unfit: {told}"
        if len(kept) >= self._findings.settings.min_runs:
            self._findings.remark(message)
        else:
            self._findings.unfit(f"{message}; measure these again, or force=[{HEALTH}] keeps them")
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
            self._findings.invalid(f"{label}: served, but not validly: {_listed(told)}")

    def _alike(self, pairs: list[Pair]) -> bool:
        """Whether all facts are the same but those of joules, which matter where those are."""
        names = [name for name in FACTS if name not in LABELS]
        return all([self._same(name, pairs) for name in names])  # a list: all of them are told

    def _same(self, fact: str, pairs: Sequence[Pair]) -> bool:
        told = [
            sorted({str(run.facts.get(fact)) for run in side}) for side in zip(*pairs, strict=True)
        ]
        if len({*told[0], *told[1]}) == 1:
            return True
        values = " / ".join(" and ".join(side) for side in told)
        return self._findings.differing(fact, f"{fact} differs: {values}")

    def _row(self, metric: Metric, pairs: list[Pair], label: str) -> Samples | None:
        values = [tuple(value_of(metric, run) for run in pair) for pair in pairs]
        have = [any(side) for side in zip(*(map(_is_there, pair) for pair in values), strict=True)]
        if not any(have):
            return None
        self._found.add(metric.name)
        used = [place for place, pair in enumerate(values) if all(map(_is_there, pair))]
        if not used:
            where = " and ".join(name for name, has in zip(SIDES, have, strict=True) if has)
            of = f"only {where} has it" if not all(have) else "no pair has it on both sides"
            self._findings.missing(f"{label}: {metric.name}: {of}")
            return None
        of_row = [pairs[place] for place in used]
        if metric.label_path is not None and not self._same(metric.label_path, of_row):
            return None
        kind, floor_frac, notes = self._kind(metric, of_row)
        if len(used) < len(pairs):
            notes.append(f"{len(pairs) - len(used)} of {len(pairs)} pairs left out: no value")
        base, candidate = np.array([values[place] for place in used], dtype=np.float64).T
        strata = _strata([pair[0] for pair in of_row])
        first = of_row[0][0]
        return Samples(
            metric=metric,
            kind=kind,
            configuration=label,
            command=first.command,
            config_hash=first.config_hash,
            base=base,
            candidate=candidate,
            base_strata=strata,
            candidate_strata=strata,
            floor_frac=floor_frac,
            note="; ".join(notes),
        )

    def _kind(self, metric: Metric, pairs: list[Pair]) -> tuple[Kind, float, list[str]]:
        """Kind, noise floor, and words on it."""
        if any(metric.name in run.modelled for pair in pairs for run in pair):
            return "modelled", 0.0, []
        first = pairs[0][0]
        where = first.facts, first.config_hash, metric.name
        if metric.kind != "exact":
            return metric.kind, self._floors.floor(*where), []
        if self._floors.demoted(*where):
            note = "differs between runs of one revision, by the noise file: judged as measured"
            return "measured", self._floors.floor(*where), [note]
        return "exact", 0.0, []


def _is_there(value: float | None) -> bool:
    return value is not None


def _strata(runs: Sequence[GateRun]) -> np.ndarray:
    """A number per run: those of one seed (and of the same model) are exchangeable."""
    seeds = [seed_words(run) for run in runs]
    order = {seed: number for number, seed in enumerate(sorted(set(seeds)))}
    return np.array([order[seed] for seed in seeds], dtype=np.int64)


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _MOST_NAMED
    return ", ".join(texts[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
