"""A baseline in the repository: the runs that were accepted last, and what the first ones gave.

Losses too small for the gate add up unseen from one acceptance to the next. So the file keeps, for
each metric, the median that was accepted first, and drift() says how far a candidate is from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from bench.core.files import utc_now
from bench.core.metric import Metric
from bench.core.printable import printable
from bench.core.upgrade import with_comparable
from bench.gate.metrics import METRICS
from bench.gate.model import GateRun
from bench.gate.sides.facts import JOULES, difference
from bench.gate.sides.joules import is_all_of_its_total, value_of
from bench.gate.sides.labels import labels
from bench.gate.sides.side import Side, by_configuration, provenance_of
from bench.gate.sides.sound import require_sound
from bench.gate.sides.textfile import read_text, validated, write_text

FORMAT = 1
KIND = "perf baseline"
_REMEDY = "give a results folder, or a file that accept=true has written"
_DAMAGED = "take the file from git again, or delete it and accept one anew"
# Told once for a configuration, and again only by a run in which it is different.
_SHARED = (
    "choices",
    "command",
    "comparable",
    "config",
    "config_hash",
    "facts",
    "flags",
    "git_commit",
    "invalid",
    "missed",
    "modelled",
    "num_finished",
    "served_model",
    "status",
    "unavailable",
)
# Facts that may change from one acceptance to the next: machines of one kind stand for one another.
_CHANGING = ("host.name", "schema_version", *JOULES)
# Of these schemas the gate takes the same numbers, with the same meaning.
_SAME_SCHEMAS = (1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Accepted:
    """A median, and when it was accepted; of joules, how they were obtained and of what."""

    value: float
    utc: str
    commit: str | None
    label: str | None
    components: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Oldest:
    """Of a configuration, what was accepted first, by metric."""

    command: str
    config_hash: str
    facts: dict[str, Any]
    medians: dict[str, _Accepted]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Configuration:
    """Runs, without what they have in common."""

    shared: dict[str, Any]
    runs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    kind: str = KIND
    format: int = FORMAT
    accepted_utc: str
    provenance: dict[str, Any]
    configurations: list[_Configuration]
    oldest: list[_Oldest]


_FILE: TypeAdapter[_File] = TypeAdapter(_File)
_RUN: TypeAdapter[GateRun] = TypeAdapter(GateRun)


def write_baseline(path: Path, side: Side) -> None:
    """Accept a side: the file holds it from now on, and keeps the medians accepted first.

    Those of another kind of host, environment or target than the side's are dropped: nothing can
    drift from them.

    Args:
        path: Written atomically; its folder is made if it is not there.
        side: Read from run folders.

    Raises:
        ValueError: A run of the side failed or there is none; the file that is there is no
            baseline; or it cannot be written.
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
    file = _File(
        accepted_utc=utc,
        provenance=provenance_of(side.runs),
        configurations=[_told(runs) for runs in groups.values()],
        oldest=list(oldest.values()),
    )
    write_text(path, asdict(file))


def _told(runs: Sequence[GateRun]) -> _Configuration:
    dicts = [asdict(run) for run in runs]
    shared = {name: dicts[0][name] for name in _SHARED}
    own = [
        {name: value for name, value in each.items() if name not in shared or value != shared[name]}
        for each in dicts
    ]
    return _Configuration(shared=shared, runs=own)


def read_baseline(path: Path) -> Side:
    """The side that was accepted last.

    Raises:
        ValueError: The file is no baseline, cut, damaged, or of a newer format.
    """
    file = _read(path)
    runs = [
        _sound_run({**each.shared, **own}, path)
        for each in file.configurations
        for own in each.runs
    ]
    return Side(
        name=str(path),
        runs=runs,
        provenance={**provenance_of(runs), "accepted_utc": file.accepted_utc},
    )


def _sound_run(fields: dict[str, Any], path: Path) -> GateRun:
    run = _upgraded(validated(_RUN, with_comparable(fields), path, _DAMAGED))
    try:
        require_sound(run)
    except ValueError as error:
        raise ValueError(f"{path}: {printable(run.run_id)}: {error}; {_DAMAGED}") from error
    return run


def _upgraded(run: GateRun) -> GateRun:
    """A run of an older schema as one of this, as bench.core.store upgrades records."""
    if run.facts.get("schema_version") not in _SAME_SCHEMAS:
        return run
    return replace(run, facts={**run.facts, "schema_version": max(_SAME_SCHEMAS)})


def _read(path: Path) -> _File:
    tree = read_text(path, kind=KIND, newest=FORMAT, remedy=_REMEDY)
    return validated(_FILE, tree, path, _DAMAGED)


def _first_accepted(runs: Sequence[GateRun], utc: str, before: _Oldest | None) -> _Oldest:
    """What was accepted first of a configuration: that of now, where there was nothing."""
    facts = _lasting(runs[0])
    now = {
        metric.name: accepted
        for metric in METRICS
        if (accepted := _accepted(metric, runs, utc)) is not None and math.isfinite(accepted.value)
    }
    old = before.medians if before is not None and _agree(before.facts, facts) else {}
    # Joules obtained otherwise, or of other components, begin anew: nothing drifts from those.
    kept = {
        name: median
        for name, median in old.items()
        if name not in now or _comparable(median, now[name])
    }
    return _Oldest(
        command=runs[0].command,
        config_hash=runs[0].config_hash,
        facts=facts,
        medians={**now, **kept},
    )


def _lasting(run: GateRun) -> dict[str, Any]:
    return {name: value for name, value in run.facts.items() if name not in _CHANGING}


def _agree(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether facts are the same, as far as both record them."""
    return all(difference(name, [[one[name]], [other.get(name)]]) is None for name in one)


def _comparable(one: _Accepted, other: _Accepted) -> bool:
    of_same = difference("components", [[one.components], [other.components]]) is None
    return one.label == other.label and of_same


def _accepted(metric: Metric, runs: Sequence[GateRun], utc: str) -> _Accepted | None:
    """The median of the runs that are comparable; infinite where most missed.

    None where it was not measured, or where the runs' joules were not obtained alike.
    """
    comparable = [run for run in runs if run.comparable is not False]
    counted = [run for run in comparable if value_of(metric, run) is not None]
    if not counted or any(metric.name in run.modelled for run in counted):
        return None
    facts = metric.joules.facts if metric.joules else ()
    if any(difference(name, [[run.facts.get(name) for run in counted], []]) for name in facts):
        return None
    label, components = (counted[0].facts.get(name) for name in facts) if facts else (None, None)
    values = [value_of(metric, run) for run in counted]
    return _Accepted(
        value=float(np.median(np.array(values, dtype=np.float64))),
        utc=utc,
        commit=runs[-1].git_commit,
        label=label,
        components=components,
    )


def drift(path: Path, candidate: Side) -> list[str]:
    """How far a candidate is from what was accepted first: a line for each metric that has moved.

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
    names = labels(candidate.runs)
    lines = []
    for key, runs in by_configuration(candidate.runs).items():
        entry = oldest.get(key)
        if entry is not None and _agree(entry.facts, _lasting(runs[0])):
            lines += [f"{names[key]}: {line}" for line in _moved(entry.medians, runs)]
    return lines


def _moved(medians: Mapping[str, _Accepted], runs: Sequence[GateRun]) -> list[str]:
    lines = []
    for metric in METRICS:
        first, now = medians.get(metric.name), _accepted(metric, runs, "")
        if first is None or now is None or not _comparable(first, now):
            continue
        if all(is_all_of_its_total(metric, run) for run in runs):
            continue  # its total has the same line
        change = _change(first.value, now.value)
        if change and abs(change) >= metric.least_effect_frac:
            moved = f"drifted by {change:+.1%}" if math.isfinite(change) else "drifted out of reach"
            lines.append(
                f"{metric.name} has {moved} since the oldest accepted baseline "
                f"({first.utc[:10]}, commit {(first.commit or 'unknown')[:7]}): "
                f"{_number(first.value)} -> {_number(now.value)} {metric.unit}".rstrip()
            )
    return lines


def _change(first: float, now: float) -> float:
    """As a share of the first; infinite where that is 0 or most runs miss."""
    if first == now:
        return 0.0
    return now / first - 1 if first else math.inf


def _number(value: float) -> str:
    return f"{value:.0f}" if value.is_integer() else f"{value:.4g}"
