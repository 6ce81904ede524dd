"""From run folders, or from a baseline file, to one side of a comparison."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.core.counting import Ended, began, counted, finished, start_order
from bench.core.flat import value_of
from bench.core.identity import CHOICES, UNHASHED, without
from bench.core.labels import GUESSED
from bench.core.metric import Metric
from bench.core.printable import printable
from bench.core.records.run import RunError, RunRecord
from bench.gate.metrics import METRICS
from bench.gate.model import EXIT_FAILED, EXIT_TOO_LITTLE, GateRun, Problem
from bench.gate.sides.baseline import read_baseline
from bench.gate.sides.facts import facts_of
from bench.gate.sides.joules import by_part, doubts, without_joules_in_doubt
from bench.gate.sides.reading import read_folders
from bench.gate.sides.side import (
    Configuration,
    Place,
    Side,
    by_configuration,
    configuration_of,
    place_of,
    place_words,
    provenance_of,
    repeated,
)
from bench.gate.sides.sound import require_sound

_COPIED = ("seed", "repeat")
# What becomes of runs that count, by their status; of all others, that they failed.
_ENDS = {"ok": "ok", "refused": "refused", "interrupted": "interrupted"}


def read_side(path: Path) -> Side:
    """The runs in or at a path.

    What is wrong with single runs is among the side's problems. Of runs of the same configuration,
    seed and repeat one counts: see bench.core.counting.

    Args:
        path: A results folder, the folder of a command, a run folder, or a baseline file.

    Raises:
        ValueError: There is no such path, or it is a file that is no baseline.
    """
    if os.path.isfile(path):
        return read_baseline(path)
    if not os.path.isdir(path):
        raise ValueError(f"{path}: no such folder or file; give a results folder or a baseline")
    read = read_folders(path)
    if read.is_empty:
        problem = f"{path}: no runs there; give a results folder, a run folder or a baseline file"
        return Side(
            name=str(path),
            runs=[],
            problems=[Problem(kind="empty", message=problem, exit_code=EXIT_TOO_LITTLE)],
            remarks=read.remarks,
            provenance=provenance_of([]),
        )
    reduced, unsound = _reduced(read.records)
    errors = {record.run_id: record.error for record in read.records}
    counting, remarks = _counting(reduced, errors)
    by_end: dict[str, list[GateRun]] = {}
    for run in counting:
        by_end.setdefault(_ENDS.get(run.status, "failed"), []).append(run)
    runs = by_end.get("ok", [])
    failed = [_failure(run, errors[run.run_id]) for run in by_end.get("failed", [])]
    interrupted = [_interruption(run) for run in by_end.get("interrupted", [])]
    return Side(
        name=str(path),
        runs=runs,
        problems=[*read.problems, *unsound, *failed],
        remarks=[*read.remarks, *remarks, *interrupted],
        refused=[(run, _because(errors[run.run_id])) for run in by_end.get("refused", [])],
        provenance=provenance_of(runs),
    )


def any_repeated(path: Path) -> bool:
    """Whether most runs of some configuration share seed and repeat, so that more add nothing."""
    groups = by_configuration(read_side(path).runs)
    return any(repeated(runs) is not None for runs in groups.values())


def _failure(run: GateRun, error: RunError | None) -> Problem:
    because = f": {error.message}" if error is not None else ""
    message = f"{run.run_id} ended as {run.status}{because}; measure it again"
    return Problem(kind="failed", message=message, exit_code=EXIT_FAILED)


def _interruption(run: GateRun) -> str:
    return f"{run.run_id} was interrupted, so that it does not count; measure it again"


def _because(error: RunError | None) -> str:
    return "no reason is recorded" if error is None else error.message


def _counting(
    runs: Sequence[GateRun], errors: Mapping[str, RunError | None]
) -> tuple[list[GateRun], list[str]]:
    """The run that counts of each configuration, seed and repeat, and remarks on the others.

    Where every run was interrupted, the latest is kept. Runs that never began are dropped.
    """
    places: dict[tuple[Configuration, Place], list[GateRun]] = {}
    for run in sorted(runs, key=_start):
        if began(_ended(run, errors[run.run_id])):
            places.setdefault((configuration_of(run), place_of(run)), []).append(run)
    kept, remarks = [], []
    for again in places.values():
        ends = [_ended(run, errors[run.run_id]) for run in again]
        index = counted(ends)
        run = again[-1 if index is None else index]
        num_ok = sum(each.status == "ok" for each in again)
        kept.append(replace(run, num_finished=max(num_ok, 1)))
        if len(again) > 1:
            others = ", ".join(_named(each) for each in again if each is not run)
            which = "the latest that finished" if any(map(finished, ends)) else "the latest"
            remarks.append(
                f"{run.command} {run.config_hash} {place_words(run)} was measured {len(again)} "
                f"times: {run.run_id} counts, {which}; not {others}"
            )
    return sorted(kept, key=_start), remarks


def _start(run: GateRun) -> tuple[str, ...]:
    return start_order(run.run_id, run.started_utc)


def _ended(run: GateRun, error: RunError | None) -> Ended:
    return Ended(run.status, None if error is None else error.kind, run.started_utc, run.run_id)


def _named(run: GateRun) -> str:
    return run.run_id if run.status == "ok" else f"{run.run_id} ({run.status})"


def _reduced(records: Sequence[RunRecord]) -> tuple[list[GateRun], list[Problem]]:
    """Runs of records, and what is wrong with records that no run can be made of.

    Models of one seed that were trained several times are told apart.
    """
    models: dict[tuple[str, int], list[str]] = {}
    for record in records:
        if record.trained is not None:
            key = (record.config_hash, record.trained.seed)
            models[key] = sorted({*models.get(key, []), record.trained.run_id})
    runs, unsound = [], []
    for record in records:
        try:
            run = gate_run(record)
            require_sound(run)
        # Host and configuration are of free form: whatever one record holds, others are compared.
        except Exception as error:
            text = str(error).strip() or type(error).__name__
            message = f"{record.run_id}: cannot be compared ({text}); measure it again"
            unsound.append(Problem(kind="unreadable", message=message, exit_code=EXIT_FAILED))
        else:
            runs.append(_numbered(run, record, models))
    return runs, unsound


def _numbered(
    run: GateRun, record: RunRecord, models: Mapping[tuple[str, int], list[str]]
) -> GateRun:
    if record.trained is None:
        return run
    alike = models[record.config_hash, record.trained.seed]
    place = alike.index(record.trained.run_id)
    return replace(run, served_model=f"{run.served_model} #{place + 1}") if place else run


def gate_run(record: RunRecord) -> GateRun:
    """A run reduced to what the gate needs.

    Values that are missing, NaN or infinite are left out, and so are all joules of a run if a flag
    speaks against them.
    """
    in_doubt = doubts(record)
    record = without_joules_in_doubt(record)
    facts = facts_of(record)
    target, trained = record.target, record.trained
    health, serving = record.health, record.serving
    return GateRun(
        run_id=record.run_id,
        command=record.command,
        config_hash=record.config_hash,
        seed=record.seed,
        repeat=record.repeat,
        started_utc=record.started_utc,
        status=record.status,
        comparable=None if health is None else health.comparable,
        flags=list(dict.fromkeys([*(health.flags if health else []), *in_doubt])),
        missed=None if target is None else not target.reached,
        values=_values(record),
        modelled=[m.name for m in METRICS if m.joules and facts[m.joules.label] in GUESSED],
        facts=facts,
        config=_config(record),
        choices=_choices(record.config.get(CHOICES)),
        git_commit=_commit(record.host),
        served_model=None if trained is None else f"seed {trained.seed}",
        invalid=[] if serving is None else list(serving.invalid_reasons),
        unavailable=[f"{each.meter} ({each.reason})" for each in record.unavailable_meters],
    )


def _values(record: RunRecord) -> dict[str, float]:
    values = {metric.name: _value(record, metric) for metric in METRICS}
    return {
        name: float(value)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }


def _value(record: RunRecord, metric: Metric) -> Any:
    """The metric's place in the record, or the sum of the rows there that are of its part."""
    found = value_of(record, metric.path)
    if metric.part is None:
        return found
    # What a clock took says nothing where it did not run to a target.
    if metric.censored_by and (record.target is None or not record.target.reached):
        return None
    part = by_part(found or []).get(metric.part)
    return None if part is None else part.energy_j


def _config(record: RunRecord) -> dict[str, Any]:
    """What went into the hash; in place of the folder of a served run, its model."""
    config = _without_copies(record.config)
    for key in UNHASHED:
        config = without(config, key)
    if record.trained is not None:
        config["run"] = f"{record.trained.model or 'model'} {record.trained.config_hash[:6]}"
    return config


def _without_copies(config: Mapping[str, Any]) -> dict[str, Any]:
    """Without the seed and the repeat, which groups may hold copies of."""
    return {
        key: _without_copies(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if key not in _COPIED
    }


def _choices(found: Any) -> dict[str, str]:
    choices = found if isinstance(found, Mapping) else {}
    return {group: printable(one) for group, one in choices.items() if one}


def _commit(host: Mapping[str, Any]) -> str | None:
    commit = None if host.get("git_commit") is None else str(host["git_commit"])
    return f"{commit}-dirty" if commit and host.get("git_dirty") else commit
