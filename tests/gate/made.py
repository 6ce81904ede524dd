"""Builders of runs, sides and run folders for tests of the gate, with any numbers.

run = made_run(repeat=3, values={"time_to_target_s": 1.5})
side = made_side({"time_to_target_s": [1.0, 1.1, inf]}, name="base")   # a miss is infinite
folders = write_runs(results, [1.0, 1.1, 0.9], label="counter")        # as bench.train does
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench.core.labels import EnergyLabel
from bench.core.records.run import SCHEMA_VERSION, RunRecord
from bench.core.store import create_run_folder, write_record
from bench.gate.model import GateRun
from bench.gate.sides.facts import FACTS, PASSING
from bench.gate.sides.side import Side, provenance_of
from tests.analysis.made import identity
from tests.analysis.made_records import HOST, SWEEP_START, Made, Outcome, curve_of, record_of

HASH = "0123456789ab"
COMMIT = "abc1234" + "0" * 33
FULL_HOST: dict[str, Any] = {
    **HOST,
    "num_cpus_allowed": 2,
    "git_commit": COMMIT,
    "git_dirty": False,
}
FACT_VALUES: dict[str, Any] = {
    **dict.fromkeys((*FACTS, *PASSING)),
    "schema_version": SCHEMA_VERSION,
    "host.name": "made",
    "host.cpu_name": "Made CPU",
    "host.num_cpus_allowed": 2,
    "host.memory_gib": 8,
    "host.gpus": [],
    "host.num_threads": 1,
    "host.num_interop_threads": 1,
    "host.environment": {"OMP_NUM_THREADS": "1"},
    "host.scheduler": "none",
    "target.metric": "accuracy",
    "target.value": 0.95,
    "data": "digits",
    "precision": "32",
    "energy_label": "counter",
}
CONFIG: dict[str, Any] = {
    "batch_size": 32,
    "model": {"_target_": "bench.tasks.models.Mlp"},
    "data": {"_target_": "bench.tasks.data.digits"},
}


def made_run(*, seed: int = 0, repeat: int = 0, config_hash: str = HASH, **fields: Any) -> GateRun:
    """A run of the gate; `fields` are those of GateRun, `facts` is added to FACT_VALUES."""
    started = SWEEP_START + timedelta(seconds=60 * repeat + seed)
    defaults: dict[str, Any] = {
        "run_id": f"{started:%Y%m%dT%H%M%SZ}-{config_hash}-{seed:04x}{repeat:04x}",
        "command": "train",
        "started_utc": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        "status": "ok",
        "comparable": True,
        "config": CONFIG,
        "git_commit": COMMIT,
    }
    facts = {**FACT_VALUES, **fields.pop("facts", {})}
    same = {"seed": seed, "repeat": repeat, "config_hash": config_hash}
    return GateRun(**{**defaults, **same, **fields}, facts=facts)


def made_runs(values: Mapping[str, Sequence[float]], **fields: Any) -> list[GateRun]:
    """A run for each place of the values, which are as long as one another; repeats count up.

    NaN is a value that the run does not have; an infinite one makes the run a miss.
    """
    runs = []
    for repeat, each in enumerate(zip(*values.values(), strict=True)):
        found = dict(zip(values, each, strict=True))
        missed = any(math.isinf(value) for value in each)
        finite = {name: value for name, value in found.items() if math.isfinite(value)}
        runs.append(made_run(**{"repeat": repeat, **fields, "values": finite, "missed": missed}))
    return runs


def made_side(values: Mapping[str, Sequence[float]], *, name: str = "base", **fields: Any) -> Side:
    """A side of made_runs."""
    return side_of(made_runs(values, **fields), name=name)


def side_of(runs: Sequence[GateRun], *, name: str = "base") -> Side:
    """A side of some runs, without problems."""
    return Side(name=name, runs=list(runs), provenance=provenance_of(runs))


def made_record(
    *,
    seed: int = 0,
    repeat: int = 0,
    batch_size: int = 32,
    time_s: float | None = None,
    outcome: Outcome = "hit",
    label: EnergyLabel | None = "counter",
    flags: tuple[str, ...] = (),
    host: Mapping[str, Any] | None = None,
    start_s: float = 0.0,
) -> RunRecord:
    """The record of a training; all else follows from these as in tests.analysis.

    Args:
        seed: Seed.
        repeat: Repeat.
        batch_size: Batch size.
        time_s: Time to the target, in place of that which follows.
        outcome: `hit`, `missed` or `failed`.
        label: Of its joules.
        flags: Of health; with any, the run is incomparable.
        host: Added to FULL_HOST.
        start_s: Seconds after SWEEP_START at which it was started.
    """
    made = Made(
        seed=seed,
        repeat=repeat,
        batch_size=batch_size,
        outcome=outcome,
        label=label,
        flags=flags,
        start=SWEEP_START + timedelta(seconds=start_s + 60 * repeat + seed),
    )
    rows = curve_of(replace(made, repeat=0))  # a repeat does the same work
    record = record_of(made, rows, identity("train", made.config, made.start))
    assert record.target is not None
    target = record.target
    if time_s is not None and target.reached:
        target = replace(target, time_to_target_s=time_s)
    return replace(record, target=target, host={**FULL_HOST, **(host or {})})


def write_run(results: Path, record: RunRecord) -> Path:
    """The run folder of a record."""
    names = ("run_id", "command", "config_hash", "seed", "repeat", "started_utc")
    made = identity("train", record.config, SWEEP_START)
    who = replace(made, **{name: getattr(record, name) for name in names})
    folder = create_run_folder(results, who, record.config)
    write_record(folder, record)
    return folder


def write_runs(results: Path, times_s: Sequence[float], **fields: Any) -> list[Path]:
    """A run folder for each time to the target; repeats count up. `fields` as of made_record."""
    return [
        write_run(results, made_record(repeat=repeat, time_s=time_s, **fields))
        for repeat, time_s in enumerate(times_s)
    ]
