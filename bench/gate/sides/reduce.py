"""Reduce the record of a run to what the gate needs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.core.flat import value_of
from bench.core.identity import CHOICES, UNHASHED, without_copies, without_key
from bench.core.labels import GUESSED
from bench.core.metric import Better, Metric
from bench.core.printable import printable
from bench.core.quality_rows import TEST
from bench.core.records.run import RunRecord
from bench.gate.metrics import GATE_METRICS, is_own
from bench.gate.model import CUT_OFF, GateRun, Problem, problem
from bench.gate.sides.exactness import inexact_metrics
from bench.gate.sides.facts import facts_of
from bench.gate.sides.joules import by_part, joule_flags, without_joules_in_doubt
from bench.gate.sides.validation import require_possible


def reduced(records: Sequence[RunRecord], problems: list[Problem]) -> list[GateRun]:
    """The runs of records.

    Args:
        records: In any order. Models of one seed that were trained several times are numbered, so
            that each pairs with its own counterpart.
        problems: Filled with records that no run can be made of.
    """
    # The run ids of the served models, by configuration and the seed of their training.
    models: dict[tuple[str, int], list[str]] = {}
    for record in records:
        if record.trained is not None:
            key = (record.config_hash, record.trained.seed)
            models[key] = sorted({*models.get(key, []), record.trained.run_id})
    runs = []
    for record in records:
        try:
            run = gate_run(record)
            require_possible(run)
        # Host and configuration are of free form: whatever one record holds, others are compared.
        except Exception as error:
            text = str(error).strip() or type(error).__name__
            message = f"{record.run_id}: cannot be compared ({text}); measure it again"
            problems.append(problem("unreadable", message))
            continue
        if (trained := record.trained) is not None:
            # Sorted by run id, which begins with the time: the first model of one side pairs with
            # the first of the other.
            alike = models[record.config_hash, trained.seed]
            if place := alike.index(trained.run_id):
                run = replace(run, served_model=f"{run.served_model} #{place + 1}")
        runs.append(run)
    return runs


def gate_run(record: RunRecord) -> GateRun:
    """The run of a record.

    Values that are missing, NaN or infinite are left out, and so are all joules of a run if a flag
    speaks against them.
    """
    flags = joule_flags(record)
    record = without_joules_in_doubt(record)
    # After the doubtful joules are gone, so that their label is not a fact either.
    facts = facts_of(record)
    target, trained = record.target, record.trained
    health, serving = record.health, record.serving
    # It had less than its budget, so its miss says nothing beside runs that had all of it.
    stopped = [CUT_OFF] if target is not None and target.cut_off_by is not None else []
    return GateRun(
        run_id=record.run_id,
        command=record.command,
        config_hash=record.config_hash,
        seed=record.seed,
        repeat=record.repeat,
        started_utc=record.started_utc,
        status=record.status,
        comparable=False if stopped else None if health is None else health.comparable,
        flags=list(dict.fromkeys([*(health.flags if health else []), *flags, *stopped])),
        missed=None if target is None else not target.reached,
        values=_values(record),
        directions=_directions(record),
        modelled=[m.name for m in GATE_METRICS if m.joules and facts[m.joules.label] in GUESSED],
        inexact=inexact_metrics(record),
        facts=facts,
        config=_hashed_config(record),
        choices=_choices(record.config.get(CHOICES)),
        git_commit=_commit(record.host),
        served_model=None if trained is None else f"seed {trained.seed}",
        invalid=[] if serving is None else list(serving.invalid_reasons),
        unavailable=[f"{each.meter} ({each.reason})" for each in record.unavailable_meters],
    )


def _values(record: RunRecord) -> dict[str, float]:
    values = {metric.name: _value(record, metric) for metric in GATE_METRICS}
    values |= {name: value for name, value in _own_qualities(record)}
    return {
        name: float(value)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }


def _own_qualities(record: RunRecord) -> Iterator[tuple[str, float | None]]:
    """The qualities of the test split that no built-in task reports."""
    for name, value in record.quality_test.values.items() if record.quality_test else ():
        if is_own(path := f"{TEST}.{printable(name)}"):
            yield path, value


def _directions(record: RunRecord) -> dict[str, Better]:
    """Which direction of each own metric is better, as task or target have it."""
    known: dict[str, Better] = dict(record.task.directions) if record.task else {}
    if record.target is not None:
        known[record.target.metric] = record.target.mode
    named = {f"{TEST}.{printable(name)}": better for name, better in known.items()}
    return {name: better for name, better in named.items() if is_own(name)}


def _value(record: RunRecord, metric: Metric) -> Any:
    """The value at the metric's path; of a part of joules, the sum of its components' rows."""
    value = value_of(record, metric.path)
    if metric.part is None:
        return value
    # A run that missed its target has no joules to the target, whatever its clock used.
    if metric.censored_by and (record.target is None or not record.target.reached):
        return None
    # A part such as `gpu` is the sum over all cards.
    part = by_part(value or []).get(metric.part)
    return None if part is None else part.energy_j


def _hashed_config(record: RunRecord) -> dict[str, Any]:
    """What went into the hash; a served run's folder is replaced by its model."""
    # Without what the hash leaves out too: else repeats would seem to differ.
    config = without_copies(record.config)
    for key in UNHASHED:
        config = without_key(config, key)
    if record.trained is not None:
        # The folder differs between the sides although the model was trained alike.
        config["run"] = f"{record.trained.model or 'model'} {record.trained.config_hash[:6]}"
    return config


def _choices(stored: Any) -> dict[str, str]:
    choices = stored if isinstance(stored, Mapping) else {}
    return {group: printable(option) for group, option in choices.items() if option}


def _commit(host: Mapping[str, Any]) -> str | None:
    commit = None if host.get("git_commit") is None else str(host["git_commit"])
    # A report must not claim that uncommitted code is the commit.
    return f"{commit}-dirty" if commit and host.get("git_dirty") else commit
