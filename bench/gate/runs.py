"""From run folders, or from a baseline file, to one side of a comparison."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml

from bench.core.config import UNHASHED, without
from bench.core.find import runs_below
from bench.core.records import RunRecord
from bench.core.store import NewerSchema, read_record
from bench.gate.baseline import read_baseline
from bench.gate.facts import facts_of
from bench.gate.metrics import METRICS
from bench.gate.model import (
    EXIT_FAILED,
    EXIT_INCOMPARABLE,
    EXIT_TOO_LITTLE,
    GateRun,
    Metric,
    Problem,
)
from bench.gate.side import (
    Configuration,
    Place,
    Side,
    configuration_of,
    place_of,
    place_words,
    provenance_of,
)

__all__ = ["Side", "gate_run", "read_side"]

_GUESSED = ("modelled", "constant")
_COPIED = ("seed", "repeat")


def read_side(path: Path) -> Side:
    """The runs in or at a path.

    What is wrong with single runs is told in the side's problems. Of a run that was measured again
    (the same configuration, seed and repeat) the latest counts, whatever had become of the others.

    Args:
        path: A results folder, the folder of a command, a run folder, or a baseline file.

    Raises:
        ValueError: There is no such path, or it is a file that is no baseline.
    """
    if path.is_file():
        return read_baseline(path)
    if not path.is_dir():
        raise ValueError(f"{path}: no such folder or file; give a results folder or a baseline")
    folders = [Path(folder) for folder in sorted(runs_below(str(path)))]
    if not folders:
        problem = f"{path}: no runs there; give a results folder, a run folder or a baseline file"
        return Side(
            name=str(path),
            runs=[],
            problems=[Problem(kind="empty", message=problem, exit_code=EXIT_TOO_LITTLE)],
            provenance=provenance_of([]),
        )
    read = [_read(folder) for folder in folders]
    records = [each for each in read if isinstance(each, RunRecord)]
    latest, remarks = _latest(_reduced(records))
    errors = {record.run_id: record.error for record in records}
    runs = [run for run in latest if run.status == "ok"]
    failed = [_failure(run, errors[run.run_id]) for run in latest if run.status != "ok"]
    return Side(
        name=str(path),
        runs=runs,
        problems=[*(each for each in read if isinstance(each, Problem)), *failed],
        remarks=remarks,
        provenance=provenance_of(runs),
    )


def _read(folder: Path) -> RunRecord | Problem:
    try:
        return read_record(folder)
    except NewerSchema as error:
        return Problem(kind="incomparable", message=str(error), exit_code=EXIT_INCOMPARABLE)
    # Whatever lies in a folder in place of a record, it is told, and the others are read.
    except (ValueError, LookupError, TypeError, OSError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        message = text if str(folder) in text else f"{folder}: not a run ({text})"
        return Problem(kind="unreadable", message=message, exit_code=EXIT_FAILED)


def _failure(run: GateRun, error: Any) -> Problem:
    because = f": {error.message}" if error is not None else ""
    message = f"{run.run_id} ended as {run.status}{because}; measure it again"
    return Problem(kind="failed", message=message, exit_code=EXIT_FAILED)


def _latest(runs: Iterable[GateRun]) -> tuple[list[GateRun], list[str]]:
    """Of each configuration, seed and repeat the run that was started last, and what to say."""
    found: dict[tuple[Configuration, Place], list[GateRun]] = {}
    for run in sorted(runs, key=attrgetter("started_utc", "run_id")):
        found.setdefault((configuration_of(run), place_of(run)), []).append(run)
    remarks = []
    for again in found.values():
        if len(again) > 1:
            *others, last = again
            remarks.append(
                f"{last.command} {last.config_hash} {place_words(last)} was measured {len(again)} "
                f"times: {last.run_id} counts, the latest; not {', '.join(map(_told, others))}"
            )
    latest = [again[-1] for again in found.values()]
    return sorted(latest, key=attrgetter("started_utc", "run_id")), remarks


def _told(run: GateRun) -> str:
    return run.run_id if run.status == "ok" else f"{run.run_id} ({run.status})"


def _reduced(records: Sequence[RunRecord]) -> list[GateRun]:
    """Runs of records; models of one seed that were trained several times are told apart."""
    models: dict[tuple[str, int], list[str]] = {}
    for record in records:
        if record.trained is not None:
            key = (record.config_hash, record.trained.seed)
            models[key] = sorted({*models.get(key, []), record.trained.run_id})
    return [_numbered(gate_run(record), record, models) for record in records]


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

    Values that are missing, NaN or infinite are left out.
    """
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
        fit=None if health is None else health.fit,
        flags=[] if health is None else list(health.flags),
        missed=None if target is None else not target.reached,
        values=_values(record),
        modelled=[metric.name for metric in METRICS if _is_guessed(metric, facts)],
        facts=facts,
        config=_config(record),
        git_commit=_commit(record.host),
        served_model=None if trained is None else f"seed {trained.seed}",
        invalid=[] if serving is None else list(serving.invalid_reasons),
    )


def _values(record: RunRecord) -> dict[str, float]:
    values = {metric.name: _at(record, metric.path) for metric in METRICS}
    return {
        name: float(value)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }


def _at(record: RunRecord, path: str) -> Any:
    value: Any = record
    for name in path.split("."):
        if value is None:
            return None
        value = getattr(value, name)
    return value


def _is_guessed(metric: Metric, facts: Mapping[str, Any]) -> bool:
    return metric.label_path is not None and facts[metric.label_path] in _GUESSED


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


def _commit(host: Mapping[str, Any]) -> str | None:
    commit = host.get("git_commit")
    return f"{commit}-dirty" if commit and host.get("git_dirty") else commit
