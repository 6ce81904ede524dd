"""The rows of a comparison: the values of each metric in the pairs of one configuration.

And whether the facts are the same in all runs that are compared, or what to report if they are not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bench.core.metric import Metric
from bench.gate.matching.findings import Findings, listed
from bench.gate.metrics import metric_named
from bench.gate.model import GateRun, Kind, Samples
from bench.gate.settings import selected
from bench.gate.sides.facts import difference
from bench.gate.sides.joules import value_of
from bench.gate.sides.noise import Floors
from bench.gate.sides.side import SIDES, Pair, seed_words

Values = Sequence[tuple[float | None, float | None]]  # base, candidate, a pair each

# The parts of a total make it up if they differ from it by no more than the least loss that counts:
# they are of the whole clock, and a trainer may go on beyond the target.
_COVERED_FRAC = 0.05


class Rows:
    """Makes the rows of one configuration after the other."""

    def __init__(self, findings: Findings, floors: Floors, alike: Alike) -> None:
        """Nothing is made yet.

        Args:
            findings: Filled; its settings select the metrics.
            floors: Of noise.
            alike: Compares the facts of joules.
        """
        self._findings = findings
        self._floors = floors
        self._alike = alike
        self._metrics = selected(findings.settings)
        self._found: set[str] = set()

    def of(self, pairs: list[Pair], label: str) -> list[Samples]:
        """The rows of the pairs of one configuration, at least one pair."""
        rows = (self._row(metric, pairs, label) for metric in self._metrics)
        asked = self._findings.settings.metrics or []
        return settle_parts([row for row in rows if row is not None], pairs, asked)

    def unfound(self) -> list[str]:
        """Metrics that were asked for by name and that no run has."""
        asked = self._findings.settings.metrics or []
        return [name for name in asked if name not in self._found]

    @property
    def has_joules(self) -> bool:
        """Whether any metric of joules was selected."""
        return any(metric.joules is not None for metric in self._metrics)

    def _row(self, metric: Metric, pairs: list[Pair], label: str) -> Samples | None:
        values = [(value_of(metric, base), value_of(metric, other)) for base, other in pairs]
        if not any(value is not None for pair in values for value in pair):
            return None
        self._found.add(metric.name)
        used = [place for place, pair in enumerate(values) if None not in pair]
        if not used:
            self._report_alone(metric, values, pairs, label)
            return None
        of_row = [pairs[place] for place in used]
        if not self._joules_alike(metric, of_row):
            return None
        kind, floor_frac, notes = self._kind(metric, of_row)
        if len(used) < len(pairs):
            notes.append(f"{len(pairs) - len(used)} of {len(pairs)} pairs left out: no value")
        base, candidate = np.array([values[place] for place in used], dtype=np.float64).T
        first = of_row[0][0]
        return Samples(
            metric=metric,
            kind=kind,
            configuration=label,
            command=first.command,
            config_hash=first.config_hash,
            base=base,
            candidate=candidate,
            strata=_strata([base for base, _ in of_row]),
            floor_frac=floor_frac,
            note="; ".join(notes),
        )

    def _report_alone(self, metric: Metric, values: Values, pairs: list[Pair], label: str) -> None:
        """A metric of which no pair has both values, unless it is reported otherwise."""
        have = [any(value is not None for value in side) for side in zip(*values, strict=True)]
        finite = any(value is not None and np.isfinite(value) for pair in values for value in pair)
        # A miss does not tell whether the run could have had the value: samples may be uncounted.
        if not finite and metric.joules is None:
            return
        if metric.part_of is not None and self._total_explains(metric.part_of, pairs):
            return
        where = " and ".join(name for name, has in zip(SIDES, have, strict=True) if has)
        what = "no pair has it on both sides" if all(have) else f"only {where} has it"
        self._findings.missing(f"{label}: {metric.name}: {what}")

    def _total_explains(self, total_name: str, pairs: list[Pair]) -> bool:
        """Whether the total says why only one side has a part: other components, or no joules."""
        total = metric_named(total_name)
        assert total.joules is not None
        label = total.joules.label
        metered = [pair for pair in pairs if all(run.facts.get(label) is not None for run in pair)]
        if metered:
            self._components_alike(total, metered)
            return True
        return any(metric.name == total_name for metric in self._metrics)

    def _joules_alike(self, metric: Metric, pairs: list[Pair]) -> bool:
        """Whether joules were obtained alike and are of the same components."""
        if metric.joules is None:
            return True
        same_label = self._alike.same(metric.joules.label, pairs)
        return self._components_alike(metric, pairs) and same_label

    def _components_alike(self, metric: Metric, pairs: list[Pair]) -> bool:
        assert metric.joules is not None
        return self._alike.same(metric.joules.components, pairs, why_unavailable(pairs))

    def _kind(self, metric: Metric, pairs: list[Pair]) -> tuple[Kind, float, list[str]]:
        """Kind, noise floor, and words on it."""
        if any(metric.name in run.modelled for pair in pairs for run in pair):
            return "modelled", 0.0, []
        first = pairs[0][0]
        where = first.facts, first.config_hash, metric.name
        if metric.kind != "exact":
            return "measured", self._floors.floor(*where), []
        if self._floors.demoted(*where):
            note = "differs between runs of one revision, by the noise file: judged as measured"
            return "measured", self._floors.floor(*where), [note]
        return "exact", 0.0, []


def _strata(runs: Sequence[GateRun]) -> npt.NDArray[np.int64]:
    """A number per run: those of one seed (and of the same model) are exchangeable."""
    seeds = [seed_words(run) for run in runs]
    order = {seed: number for number, seed in enumerate(sorted(set(seeds)))}
    return np.array([order[seed] for seed in seeds], dtype=np.int64)


def settle_parts(
    rows: Sequence[Samples], pairs: Sequence[Pair], asked: Collection[str] = ()
) -> list[Samples]:
    """Judge joules once: a total of one part by the total, one of several parts by its parts.

    To judge both would test the same joules twice. A total is judged besides its parts where they
    do not make it up: one of them has no row, or the clock went on beyond the target.

    Args:
        rows: Of one configuration.
        pairs: The runs that they are of.
        asked: Metrics that were asked for by name: they keep their rows.
    """
    settled = {row.metric.name: row for row in rows}
    for total in rows:
        joules = total.metric.joules
        if joules is None or total.metric.part is not None:
            continue
        recorded = (run.facts.get(joules.components) for pair in pairs for run in pair)
        names = {part for components in recorded for part in components or ()}
        parts = [
            row
            for row in rows
            if row.metric.part_of == total.metric.name and row.metric.part in names
        ]
        if len(names) == 1:
            for name in (row.metric.name for row in parts):
                if name not in asked:
                    del settled[name]
        elif parts and len(parts) == len(names) and _make_up(parts, total):
            by = ", ".join(row.metric.name for row in parts)
            note = "; ".join(filter(None, [total.note, f"judged by its parts: {by}"]))
            settled[total.metric.name] = replace(total, kind="sum", note=note)
    return list(settled.values())


def _make_up(parts: Sequence[Samples], total: Samples) -> bool:
    """Whether all are measured, and the parts add up to the total in every run that has joules."""
    if any(row.kind != "measured" or len(row.base) != len(total.base) for row in (*parts, total)):
        return False
    for side in ("base", "candidate"):
        whole, summed = getattr(total, side), sum(getattr(row, side) for row in parts)
        hit = np.isfinite(whole)
        if (np.abs(summed[hit] - whole[hit]) > _COVERED_FRAC * whole[hit]).any():
            return False
    return True


class Alike:
    """Compares facts, and collects those that a side does not record."""

    def __init__(self, findings: Findings) -> None:
        """Nothing has been compared.

        Args:
            findings: Filled; its settings say which facts may differ.
        """
        self._findings = findings
        # Ordered sets of facts, by side.
        self._unrecorded: dict[str, dict[str, None]] = {name: {} for name in SIDES}

    def same(self, fact: str, pairs: Sequence[Pair], because: str = "") -> bool:
        """Whether the comparison may go on: the fact is the same, not recorded, or forced.

        Args:
            fact: Its name.
            pairs: Runs that are compared, at least one pair.
            because: Why it may differ, for the report.
        """
        sides = [[run.facts.get(fact) for run in side] for side in zip(*pairs, strict=True)]
        if any(value is not None for side in sides for value in side):
            for name, side in zip(SIDES, sides, strict=True):
                if None in side:
                    self._unrecorded[name][fact] = None
        differs = difference(fact, sides)
        if differs is None:
            return True
        return self._findings.differing(fact, f"{fact} differs: {differs}{because}")

    def report_unrecorded(self) -> None:
        """Remark on facts that may differ because one side does not record them."""
        for name, facts in self._unrecorded.items():
            if facts:
                self._findings.remark(
                    f"{name}: not all runs record {', '.join(facts)}, which may differ"
                )


def why_unavailable(pairs: Sequence[Pair]) -> str:
    """Which meters only one side could not read, as the end of a message; empty if none."""
    sides = [
        dict.fromkeys(reason for run in side for reason in run.unavailable)
        for side in zip(*pairs, strict=True)
    ]
    texts = [
        f"{name}: no {listed(reasons)}"
        for name, here, there in zip(SIDES, sides, reversed(sides), strict=True)
        if (reasons := [reason for reason in here if reason not in there])
    ]
    return f" ({'; '.join(texts)})" if texts else ""
