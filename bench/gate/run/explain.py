"""bench.ab explain=true: traces one more run of each side where a regression was found."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from bench.core.find import runs_below
from bench.core.operators import VARIABLE, OperatorTrace, read_traces
from bench.core.records.phases import Phases
from bench.core.records.run import RunRecord
from bench.core.store import read_record
from bench.gate.explanation import (
    Explanation,
    compare_operators,
    compare_phases,
    median_or_none,
)
from bench.launch.interleave import Interleaved, RunFailed

_LAUNCH, _TOTAL = "launch_s", "wall_time_s"  # not phases of the run
# Joules of a side's runs, and seconds and joules of their phases.
_Amounts = dict[str, list[float]]


def explain(interleaved: Interleaved, root: Path, names: tuple[str, str]) -> Explanation:
    """Trace one more run of each side, and compare operators and phases.

    Args:
        interleaved: Makes the runs.
        root: The folder of the trial, with a folder of runs for each side.
        names: Of base and head.
    """
    records = [_records(root / name) for name in names]
    phases, reasons = [], []
    if all(len({record.config_hash for record in side}) == 1 for side in records):
        seconds, joules = zip(*map(_by_phase, records), strict=True)
        phases = compare_phases(*seconds, *joules)
    else:
        reasons.append("phases are compared only where there is one configuration")
    (base, why_not_base), (head, why_not_head) = (
        _traced(interleaved, root / "traced" / name, name) for name in names
    )
    operators = compare_operators(base, head, _energies_j(records)) if base and head else []
    reasons += filter(None, (why_not_base, why_not_head))
    return Explanation(phases=phases, operators=operators, reason="; ".join(reasons))


def _traced(interleaved: Interleaved, results: Path, name: str) -> tuple[OperatorTrace | None, str]:
    """The trace of one more run; without one, why there is none."""
    folder = results / "operators"
    try:
        interleaved.run_aside(name, results, {VARIABLE: str(folder)})
        trace = read_traces(folder)
    except (RunFailed, ValueError) as error:
        return None, f"{name} was not traced: {str(error).partition(chr(10))[0]}"
    if trace is None:
        return None, f"{name} was not traced: its revision, or its module, cannot be"
    return trace, ""


def _records(folder: Path) -> list[RunRecord]:
    records = [read_record(Path(path)) for path in runs_below(str(folder))]
    return [record for record in records if record.status == "ok"]


def _by_phase(records: list[RunRecord]) -> tuple[_Amounts, _Amounts]:
    """Seconds and joules of each run, by phase."""
    seconds: _Amounts = {}
    joules: _Amounts = {}
    for record in records:
        for each in fields(Phases):
            if each.name in (_LAUNCH, _TOTAL):
                continue
            name = each.name.removesuffix("_s")
            _add(seconds, name, getattr(record.phases, each.name))
            _add(joules, name, getattr(record.phase_energy, f"{name}_j", None))
    return seconds, joules


def _add(amounts: _Amounts, name: str, amount: float | None) -> None:
    if amount is not None:
        amounts.setdefault(name, []).append(amount)


def _energies_j(records: list[list[RunRecord]]) -> list[float | None]:
    """The median joules of a run of each side; None where they are not known."""
    known = [[r.energy_total_j for r in side if r.energy_total_j is not None] for side in records]
    return [median_or_none(side) for side in known]
