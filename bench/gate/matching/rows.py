"""The rows of a comparison: the values of each metric in the pairs of one configuration."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from bench.core.arrays import Ints
from bench.core.metric import Better, Metric
from bench.gate.matching.log import ProblemLog, listed
from bench.gate.metrics import is_default, is_own, metric_named
from bench.gate.model import Kind, RowValues
from bench.gate.settings import selected
from bench.gate.sides.joules import value_or_miss
from bench.gate.sides.noise import NoiseFile
from bench.gate.sides.side import SIDES, Pair, describe_seed

Values = Sequence[tuple[float | None, float | None]]  # base and candidate of each pair

# The parts of a total make it up if they differ from it by no more than the least loss that counts:
# they are of the whole clock, and a trainer may go on beyond the target.
_COVERED_FRAC = 0.05


class RowBuilder:
    """Makes the rows of one configuration after the other."""

    def __init__(self, log: ProblemLog, noise: NoiseFile | None) -> None:
        """Nothing is made yet.

        Args:
            log: Filled; its settings select the metrics.
            noise: Floors of noise, if there are any.
        """
        self._log = log
        self._noise = noise
        self._metrics = selected(log.settings)
        self._wanted = log.settings.metrics or []  # by name; such a metric has to be found
        self._found: set[str] = set()
        self._has_compared = False
        self.has_joules = any(metric.joules is not None for metric in self._metrics)

    def rows(self, pairs: list[Pair], name: str) -> list[RowValues]:
        """The rows of the pairs of one configuration, at least one pair."""
        self._has_compared = True
        if self._noise is not None and self._noise.find(pairs[0][0]) is None:
            self._log.remark(
                f"{name}: the noise file has no floors for this kind of host and configuration; "
                "python -m bench.noise ref=BASE adds them"
            )
        # Modelled and exact metrics have rows too: they are shown, or judged without a test.
        rows = (self._row(metric, pairs, name) for metric in self._metrics)
        return settle_parts([row for row in rows if row is not None], pairs, self._wanted)

    def report_unfound(self) -> None:
        """Report metrics that `metrics=` names and that no run has, if runs were compared."""
        for name in self._wanted if self._has_compared else []:
            if name not in self._found:
                self._log.add_missing(f"metrics={name}: no run of either side has it")

    def _row(self, metric: Metric, pairs: list[Pair], name: str) -> RowValues | None:
        if not self._wanted and not any(is_default(metric, run) for pair in pairs for run in pair):
            return None
        values = [(value_or_miss(metric, one), value_or_miss(metric, two)) for one, two in pairs]
        # Neither side measured it, which is no difference.
        if not any(value is not None for pair in values for value in pair):
            return None
        self._found.add(metric.name)
        if is_own(metric.name):
            metric = replace(metric, better=self._direction(metric.name, pairs))
            if metric.better is None:
                return None
        # Both runs of a pair or neither: the strata of both sides have to stay the same.
        used = [place for place, pair in enumerate(values) if None not in pair]
        if not used:
            self._report_unpaired(metric, values, pairs, name)
            return None
        used_pairs = [pairs[place] for place in used]
        if not self._has_same_joules(metric, used_pairs):
            return None
        kind, floor_frac, notes = self._kind(metric, used_pairs)
        if len(used) < len(pairs):
            notes.append(f"{len(pairs) - len(used)} of {len(pairs)} pairs left out: no value")
        base, candidate = np.array([values[place] for place in used], dtype=np.float64).T
        first = used_pairs[0][0]
        # Runs of one seed, and of the same model, are exchangeable.
        seeds = [describe_seed(run) for run, _ in used_pairs]
        return RowValues(
            metric=metric,
            kind=kind,
            configuration=name,
            command=first.command,
            config_hash=first.config_hash,
            base=base,
            candidate=candidate,
            # Numbered, one number per seed and model.
            strata=np.unique(seeds, return_inverse=True)[1].astype(np.int64),
            servers=self._servers(used_pairs),
            floor_frac=floor_frac,
            note="; ".join(notes),
        )

    def _servers(self, pairs: list[Pair]) -> Ints | None:
        """The server of each pair; None if each run counts as from one of its own."""
        runs_per_server = self._log.settings.runs_per_server
        if runs_per_server is None:
            return None
        return np.array([run.repeat // runs_per_server for run, _ in pairs], np.int64)

    def _direction(self, name: str, pairs: list[Pair]) -> Better | None:
        """Which direction of a user's own metric is better; None is a problem, which is added."""
        known = {run.directions.get(name) for pair in pairs for run in pair} - {None}
        if len(known) == 1:
            return known.pop()
        what = "differs between the runs" if known else "is not known"
        self._log.add(
            "incomparable",
            f"metrics={name}: whether more or less of it is better {what}; take a metric with "
            "higher_is_better, or make it the target with target.mode=max or target.mode=min",
        )
        return None

    def _report_unpaired(
        self, metric: Metric, values: Values, pairs: list[Pair], name: str
    ) -> None:
        """Report a metric of which no pair has both values, unless something else explains it."""
        have = [any(value is not None for value in side) for side in zip(*values, strict=True)]
        finite = any(value is not None and np.isfinite(value) for pair in values for value in pair)
        # A miss leaves open whether the run could have had the value: samples may be uncounted.
        if not finite and metric.joules is None:
            return
        if metric.part_of is not None and self._total_explains(metric.part_of, pairs):
            return
        where = " and ".join(side for side, has in zip(SIDES, have, strict=True) if has)
        what = "no pair has it on both sides" if all(have) else f"only {where} has it"
        self._log.add_missing(f"{name}: {metric.name}: {what}")

    def _total_explains(self, total_name: str, pairs: list[Pair]) -> bool:
        """Whether the total tells why only one side has a part: other components, or no joules."""
        total = metric_named(total_name)
        assert total.joules is not None
        label = total.joules.label
        metered = [pair for pair in pairs if all(run.facts.get(label) is not None for run in pair)]
        if metered:
            self._log.is_same(total.joules.components, metered, why_unavailable(metered))
            return True
        return any(metric.name == total_name for metric in self._metrics)

    def _has_same_joules(self, metric: Metric, pairs: list[Pair]) -> bool:
        """Whether joules were obtained alike and are of the same components."""
        if metric.joules is None:
            return True
        # Both are checked, so that both differences are reported.
        has_same_label = self._log.is_same(metric.joules.label, pairs)
        components, reasons = metric.joules.components, why_unavailable(pairs)
        return self._log.is_same(components, pairs, reasons) and has_same_label

    def _kind(self, metric: Metric, pairs: list[Pair]) -> tuple[Kind, float, list[str]]:
        """Kind, noise floor as a share, and notes on them."""
        if any(metric.name in run.modelled for pair in pairs for run in pair):
            return "modelled", 0.0, []
        known = None if self._noise is None else self._noise.find(pairs[0][0])
        floor_frac = 0.0 if known is None else known.floor_frac(metric.name)
        if metric.kind != "exact":
            return "measured", floor_frac, []
        if any(metric.name in run.inexact for pair in pairs for run in pair):
            note = "depends on measured times or costs: judged as measured"
            return "measured", floor_frac, [note]
        if known is not None and known.is_demoted(metric.name):
            note = "differs between runs of one revision, by the noise file: judged as measured"
            return "measured", floor_frac, [note]
        return "exact", 0.0, []


def settle_parts(
    rows: Sequence[RowValues], pairs: Sequence[Pair], wanted: Collection[str] = ()
) -> list[RowValues]:
    """Judge joules once: a total of one part by the total, one of several parts by its parts.

    To judge both would test the same joules twice. A total is judged besides its parts where they
    do not make it up: one of them has no row, or the clock went on beyond the target.

    Args:
        rows: Of one configuration.
        pairs: The runs that they are of.
        wanted: Metrics that the user named: they keep their rows.
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
        # The total is the part: one row is enough.
        if len(names) == 1:
            for name in (row.metric.name for row in parts):
                if name not in wanted:
                    del settled[name]
        elif parts and len(parts) == len(names) and _make_up(parts, total):
            by = ", ".join(row.metric.name for row in parts)
            note = "; ".join(filter(None, [total.note, f"judged by its parts: {by}"]))
            settled[total.metric.name] = replace(total, kind="sum", note=note)
    return list(settled.values())


def _make_up(parts: Sequence[RowValues], total: RowValues) -> bool:
    """Whether all are measured, and the parts add up to the total in every run that has joules."""
    if any(row.kind != "measured" or len(row.base) != len(total.base) for row in (*parts, total)):
        return False
    for side in SIDES:
        whole, summed = getattr(total, side), sum(getattr(row, side) for row in parts)
        # A run that missed its target has no total to compare with.
        hit = np.isfinite(whole)
        if (np.abs(summed[hit] - whole[hit]) > _COVERED_FRAC * whole[hit]).any():
            return False
    return True


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
