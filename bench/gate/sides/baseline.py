"""A baseline file in the repository: the runs accepted last, and the medians accepted first.

Losses too small for the gate add up unseen from one acceptance to the next. So the file keeps, for
each metric, the median that was accepted first, and drift() reports how far a candidate is from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bench.core.files import utc_now
from bench.core.printable import printable
from bench.core.upgrade import with_comparable
from bench.gate.metrics import GATE_METRICS, is_default
from bench.gate.model import GateRun
from bench.gate.sides.configurations import configuration_names
from bench.gate.sides.joules import is_all_of_its_total
from bench.gate.sides.medians import (
    AcceptedMedian,
    agree,
    has_same_basis,
    lasting_facts,
    median_of,
)
from bench.gate.sides.side import Side, by_configuration, provenance_of
from bench.gate.sides.validation import read_text, require_possible, validated, write_text

FORMAT = 1
KIND = "perf baseline"
_REMEDY = "give a results folder, or a file that accept=true has written"
_DAMAGED = "take the file from git again, or delete it and accept one anew"
# Stored for each run; other fields once for a configuration, and again only where a run differs.
_PER_RUN = ("run_id", "seed", "repeat", "started_utc", "values")
# The gate reads the same numbers, with the same meaning, from records of these schemas.
_SAME_SCHEMAS = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Oldest:
    """What was accepted first of a configuration, by metric."""

    command: str
    config_hash: str
    facts: dict[str, Any]
    medians: dict[str, AcceptedMedian]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Configuration:
    """The runs of a configuration, with what they have in common stored once."""

    shared: dict[str, Any]
    runs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    kind: str = KIND
    format: int = FORMAT
    accepted_utc: str | None
    provenance: dict[str, Any]
    configurations: list[_Configuration]
    oldest: list[_Oldest]


_FILE: TypeAdapter[_File] = TypeAdapter(_File)
_RUN: TypeAdapter[GateRun] = TypeAdapter(GateRun)


def write_baseline(path: Path, side: Side) -> None:
    """Store the runs of a side as the baseline, and keep the medians accepted first.

    Medians of another kind of host, environment or target than the side's are dropped: nothing can
    drift from them.

    Args:
        path: Written atomically; its folder is created.
        side: Read from run folders.

    Raises:
        ValueError: A run of the side failed or there is none; the existing file is no baseline; or
            it cannot be written.
    """
    if side.problems:
        raise ValueError(f"{side.name}: not accepted as a baseline: {side.problems[0].message}")
    if not side.runs:
        raise ValueError(f"{side.name}: not accepted as a baseline: it has no runs")
    utc = utc_now()
    groups = by_configuration(side.runs)
    before = _read(path).oldest if path.exists() else []
    oldest = {(each.command, each.config_hash): each for each in before}
    for key, runs in groups.items():
        oldest[key] = _first_accepted(runs, utc, oldest.get(key))
    write_runs(path, side, utc, list(oldest.values()))


def write_runs(
    path: Path, side: Side, accepted_utc: str | None, oldest: Sequence[_Oldest] = ()
) -> None:
    """Store the runs of a side in the form of a baseline file.

    Args:
        path: Written atomically; its folder is created.
        side: Its runs are stored.
        accepted_utc: When they were accepted as a baseline; None if they were only checked.
        oldest: The medians accepted first.

    Raises:
        ValueError: It cannot be written.
    """
    groups = by_configuration(side.runs)
    file = _File(
        accepted_utc=accepted_utc,
        provenance=provenance_of(side.runs),
        configurations=[_with_shared_fields(runs) for runs in groups.values()],
        oldest=list(oldest),
    )
    write_text(path, asdict(file))


def _with_shared_fields(runs: Sequence[GateRun]) -> _Configuration:
    first, *_ = dicts = [asdict(run) for run in runs]
    names = sorted(field.name for field in fields(GateRun) if field.name not in _PER_RUN)
    shared = {name: first[name] for name in names}
    different = [
        {name: value for name, value in each.items() if name not in shared or value != shared[name]}
        for each in dicts
    ]
    return _Configuration(shared=shared, runs=different)


def read_baseline(path: Path) -> Side:
    """Read the side that was accepted last.

    Raises:
        ValueError: The file is no baseline, cut, damaged, or of a newer format.
    """
    file = _read(path)
    runs = [
        _read_run({**each.shared, **different}, path)
        for each in file.configurations
        for different in each.runs
    ]
    return Side(
        name=str(path),
        runs=runs,
        provenance={**provenance_of(runs), "accepted_utc": file.accepted_utc},
    )


def _read_run(values: dict[str, Any], path: Path) -> GateRun:
    """A run as one of the present schema, as bench.core.store upgrades records."""
    run = validated(_RUN, with_comparable(values), path, _DAMAGED)
    try:
        require_possible(run)
    except ValueError as error:
        raise ValueError(f"{path}: {printable(run.run_id)}: {error}; {_DAMAGED}") from error
    if run.facts.get("schema_version") in _SAME_SCHEMAS:
        return replace(run, facts={**run.facts, "schema_version": max(_SAME_SCHEMAS)})
    return run


def _read(path: Path) -> _File:
    tree = read_text(path, kind=KIND, newest=FORMAT, remedy=_REMEDY)
    return validated(_FILE, tree, path, _DAMAGED)


def _first_accepted(runs: Sequence[GateRun], utc: str, before: _Oldest | None) -> _Oldest:
    """What was accepted first of a configuration: the present medians where there were none."""
    facts = lasting_facts(runs[0])
    now = {
        metric.name: accepted
        for metric in GATE_METRICS
        if (accepted := median_of(metric, runs, utc)) is not None and math.isfinite(accepted.value)
    }
    old = before.medians if before is not None and agree(before.facts, facts) else {}
    # Joules obtained otherwise, or of other components, start anew: nothing drifts from those.
    kept = {
        name: median
        for name, median in old.items()
        if name not in now or has_same_basis(median, now[name])
    }
    return _Oldest(
        command=runs[0].command,
        config_hash=runs[0].config_hash,
        facts=facts,
        medians={**now, **kept},
    )


def drift(path: Path, candidate: Side) -> list[str]:
    """Report how far a candidate is from what was accepted first.

    Modelled joules are left out, and so are configurations whose kind of host, environment or
    target is not that of the file.

    Args:
        path: A baseline file.
        candidate: Read from run folders.

    Returns:
        A line for each configuration and metric whose median differs by the metric's least effect
        or more.

    Raises:
        ValueError: The file is no baseline.
    """
    oldest = {(each.command, each.config_hash): each for each in _read(path).oldest}
    names = configuration_names(candidate.runs)
    lines = []
    for key, runs in by_configuration(candidate.runs).items():
        entry = oldest.get(key)
        if entry is not None and agree(entry.facts, lasting_facts(runs[0])):
            lines += [f"{names[key]}: {line}" for line in _moved(entry.medians, runs)]
    return lines


def _moved(medians: Mapping[str, AcceptedMedian], runs: Sequence[GateRun]) -> list[str]:
    lines = []
    for metric in GATE_METRICS:
        if not is_default(metric, runs[0]):
            continue
        first, now = medians.get(metric.name), median_of(metric, runs, "")
        if first is None or now is None or not has_same_basis(first, now):
            continue
        if all(is_all_of_its_total(metric, run) for run in runs):
            continue  # its total has the same line
        change = (now.value - first.value) / abs(first.value) if first.value else math.inf
        if first.value == now.value or abs(change) < metric.least_loss_frac(first.value):
            continue
        moved = f"drifted by {change:+.1%}" if math.isfinite(change) else "drifted out of reach"
        lines.append(
            f"{metric.name} has {moved} since the oldest accepted baseline "
            f"({first.utc[:10]}, commit {(first.commit or 'unknown')[:7]}): "
            f"{_number(first.value)} -> {_number(now.value)} {metric.unit}".rstrip()
        )
    return lines


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
