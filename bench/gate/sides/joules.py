"""Joules of a record by part of the machine, and the facts that decide whether they compare.

A total compares with a total of the same parts only: without its GPU, a run looks like a saving.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.core.labels import (
    ENERGY_FLAGS,
    ComponentEnergy,
    EnergyLabel,
    part_of,
    row_flags,
    weakest_label,
)
from bench.core.metric import ON_THE_CLOCK, PER_PREDICTION, Joules, Metric
from bench.core.outcome import without_joules
from bench.core.records.energy import EnergyRow
from bench.core.records.run import RunRecord
from bench.gate.model import GateRun

# The parts that are judged on their own; a component of any other name is judged in the total only.
PARTS = ("gpu", "cpu", "dram")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartJoules:
    """Joules of all components of one part, such as both cards of `gpu`.

    Attributes:
        label: The weakest of its components.
        num: How many components there are; which ones does not matter.
    """

    energy_j: float
    label: EnergyLabel | None
    num: int


def by_part(rows: Iterable[EnergyRow | ComponentEnergy]) -> dict[str, PartJoules]:
    """The joules of each part: `gpu0` and `gpu1` are of `gpu`."""
    groups: dict[str, list[EnergyRow | ComponentEnergy]] = {}
    for row in rows:
        groups.setdefault(part_of(row.component), []).append(row)
    return {
        part: PartJoules(
            energy_j=sum(row.energy_j for row in group),
            label=weakest_label(row.label for row in group),
            num=len(group),
        )
        for part, group in groups.items()
    }


def joule_facts(record: RunRecord) -> dict[str, Any]:
    """How joules were obtained and of what, of the clock and per prediction; None if unknown.

    `NAME` of the components maps each part of the total to its number of components, and
    `NAME.PART` is that number; constants are in no total.
    """
    facts = _facts(ON_THE_CLOCK, record.energy_label, by_part(record.energy))
    if (serving := record.serving) is None:
        return facts | _facts(PER_PREDICTION, None, {})
    parts = by_part(serving.energy_per_prediction_components)
    return facts | _facts(PER_PREDICTION, serving.energy_per_prediction_label, parts)


def _facts(
    names: Joules, label: EnergyLabel | None, parts: Mapping[str, PartJoules]
) -> dict[str, Any]:
    known = {part: parts.get(part) for part in PARTS}
    totalled = {part: each.num for part, each in parts.items() if each.label != "constant"}
    return {
        names.label: label,
        **{f"{names.label}.{part}": each and each.label for part, each in known.items()},
        names.components: totalled or None,
        **{f"{names.components}.{part}": each and each.num for part, each in known.items()},
    }


# Names of the facts on joules; they matter only where joules are compared.
JOULE_FACTS = (*_facts(ON_THE_CLOCK, None, {}), *_facts(PER_PREDICTION, None, {}))


def joule_flags(record: RunRecord) -> list[str]:
    """The flags that speak against the joules of a run: of its health, and of its energy rows."""
    health = [] if record.health is None else record.health.flags
    rows = row_flags(asdict(row) for row in record.energy)
    return [*(flag for flag in health if flag in ENERGY_FLAGS), *rows]


def without_joules_in_doubt(record: RunRecord) -> RunRecord:
    """The record as if nothing had been metered, where a flag speaks against its joules."""
    return replace(without_joules(record), energy=[]) if joule_flags(record) else record


def value_or_miss(metric: Metric, run: GateRun) -> float | None:
    """The value of a metric; infinite of the bad sign where the run missed its target.

    None where the run does not have it. A run without a meter has no joules, missed or not.
    """
    if not metric.censored_by or not run.missed:
        return run.values.get(metric.name)
    if metric.joules is not None and run.facts.get(metric.joules.label) is None:
        return None
    return math.inf if metric.better == "min" else -math.inf


def is_all_of_its_total(metric: Metric, run: GateRun) -> bool:
    """Whether a metric is of the only part of a total, so that both are the same joules."""
    if metric.part is None or metric.joules is None:
        return False
    total = run.facts.get(metric.joules.components.removesuffix(f".{metric.part}"))
    return total is not None and set(total) == {metric.part}
