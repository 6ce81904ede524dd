"""Records with joules by component, for tests of how the gate judges them.

As of a run of a card and a processor: 900 J of the GPU and 100 J of the CPU, give or take 1% from
run to run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from bench.config.gate import JudgeConfig
from bench.core.labels import ComponentEnergy, EnergyLabel
from bench.core.records.energy import EnergyRow, UnavailableMeter
from bench.core.records.health import Health
from bench.core.records.run import RunRecord
from bench.gate.matching.compare import compare
from bench.gate.model import Comparison, GateRow
from bench.gate.sides.reduce import gate_run
from bench.gate.sides.side import Side
from tests.gate.made import made_record, side_of

SPREAD = [1.0, 1.01, 0.99, 1.005, 0.995, 1.002]
GPU, CPU = ("gpu0", 900.0, "counter"), ("cpu0", 100.0, "counter")
MODELLED_CPU = ("cpu", 100.0, "modelled")
LOST = UnavailableMeter(meter="nvml", reason="NVML: GPU is lost")
_FROM_STRONGEST = get_args(EnergyLabel)


def metered(
    components: Sequence[tuple[str, float, Any]],
    *,
    repeat: int = 0,
    factors: Mapping[str, float] | None = None,
    after_target_j: float = 0.0,
    flags: Sequence[str] = (),
    unavailable: Sequence[UnavailableMeter] = (),
    missed: bool = False,
) -> RunRecord:
    """A record whose joules are those of the components, times the spread and a factor each."""
    record = made_record(repeat=repeat, outcome="missed" if missed else "hit")
    assert record.target is not None
    assert record.serving is not None
    factors = factors or {}
    joules = {name: each * SPREAD[repeat] * factors.get(name, 1.0) for name, each, _ in components}
    labels = {name: label for name, _, label in components}
    summed = {name: each for name, each in joules.items() if labels[name] != "constant"}
    total_j = sum(summed.values())
    label = max((labels[name] for name in summed), key=_FROM_STRONGEST.index, default=None)
    rows = [
        EnergyRow(component=name, energy_j=each + after_target_j, source="made", label=labels[name])
        for name, each in joules.items()
    ]
    parts = [
        ComponentEnergy(component=row.component, energy_j=row.energy_j / 1e3, label=row.label)
        for row in rows
    ]
    serving = replace(
        record.serving,
        energy_per_prediction_j=total_j / 1e3,
        energy_per_prediction_label=label,
        energy_per_prediction_components=parts,
    )
    target = replace(
        record.target,
        energy_to_target_j=None if missed else total_j,
        energy_per_sample_j=total_j / 1e4,
    )
    return replace(
        record,
        target=target,
        serving=serving,
        energy=rows,
        energy_total_j=total_j,
        energy_label=label,
        health=Health(comparable=True, flags=list(flags)),
        unavailable_meters=list(unavailable),
    )


def side(components: Sequence[tuple[str, float, Any]], num: int = 6, **fields: Any) -> Side:
    runs = [gate_run(metered(components, repeat=repeat, **fields)) for repeat in range(num)]
    return side_of(runs)


def compared(base: Side, candidate: Side, **settings: Any) -> Comparison:
    return compare(base, candidate, JudgeConfig(**settings))


def row(comparison: Comparison, metric: str) -> GateRow:
    (found,) = (each for each in comparison.rows if each.metric.name == metric)
    return found


def verdicts(comparison: Comparison, *names: str) -> dict[str, str]:
    return {each: row(comparison, each).verdict for each in names}


def names(comparison: Comparison) -> set[str]:
    return {each.metric.name for each in comparison.rows}
