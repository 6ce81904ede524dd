"""Synthetic run folders, written through the store as a real run writes them.

    folder = make_run(results, Made(batch_size=64, seed=1))
    folders = make_sweep(results, batch_sizes=(32, 256), lrs=(0.01, 0.1), seeds=range(3))
    folder = make_served(results, folder, Served(compression="int8_static"))

A folder holds what a real one holds but for checkpoint.pt: config.yaml, curve.jsonl,
telemetry.parquet, requests.parquet (of a served one), log.txt, run.json, and the ledger's lines.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.core.identity import config_hash
from bench.core.ledger import append_ledger
from bench.core.records.curve import CurveRow
from bench.core.records.run import RunIdentity, RunRecord
from bench.core.store import (
    CurveWriter,
    create_run_folder,
    read_record,
    write_record,
)
from tests.analysis.made_records import (
    MODELS,
    SWEEP_START,
    Made,
    Outcome,
    curve_of,
    record_of,
    rng_of,
    watts,
)
from tests.analysis.made_served import Served, requests_of, served_record

__all__ = [
    "MODELS",
    "SWEEP_START",
    "Made",
    "Outcome",
    "Served",
    "identity",
    "make_run",
    "make_served",
    "make_sweep",
    "make_unreadable",
]

SAMPLER_PERIOD_S = 0.05  # shorter than a real one's: these runs are


def identity(command: str, config: Mapping[str, Any], start: datetime) -> RunIdentity:
    """An identity like the store's, but with a start and a suffix that are known beforehand."""
    same = {**config, "seed": 0, "repeat": 0}
    for group in ("data", "stream"):
        if group in same:
            same[group] = {**same[group], "seed": 0}
    suffix = hashlib.sha256(json.dumps([dict(config), start.isoformat()]).encode()).hexdigest()[:3]
    fraction = start.microsecond * 16**5 // 10**6
    hashed = config_hash(same)
    return RunIdentity(
        run_id=f"{start:%Y%m%dT%H%M%SZ}-{hashed}-{fraction:05x}{suffix}",
        command=command,
        config_hash=hashed,
        seed=config["seed"],
        repeat=config["repeat"],
        started_utc=f"{start:%Y-%m-%dT%H:%M:%SZ}",
    )


def make_run(results: Path, made: Made) -> Path:
    """One training run; the folder that it is in.

    outcome: `model` (as the model of training has it), `hit`, `missed`, `failed` (diverged after
    three evaluations) or `interrupted` (killed: no run.json).
    """
    who = identity("train", made.config, made.start)
    folder = create_run_folder(results, who, made.config)
    append_ledger(results, "launched", who, overrides=[], sweep_id="made")
    rows = curve_of(made)
    if made.outcome == "hit" and (rows[-1].quality["accuracy"] or 0.0) < made.target:
        raise ValueError(f"{made}: does not reach its target; give it more samples")
    writer = CurveWriter(folder)
    for row in rows:
        writer.append(row)
    writer.close()
    (folder / "log.txt").write_text("")
    if made.telemetry:
        _write_telemetry(folder, made, rows)
    if made.outcome == "interrupted":
        return folder
    record = record_of(made, rows, who)
    _finish(results, folder, who, record)
    return folder


def _finish(results: Path, folder: Path, who: RunIdentity, record: RunRecord) -> None:
    write_record(folder, record)
    reached = record.target.reached if record.target else None
    append_ledger(results, "ended", who, status=record.status, reached=reached)


def _write_telemetry(folder: Path, made: Made, rows: Sequence[CurveRow]) -> None:
    """Samples from before the clock's start to the end."""
    end_s = rows[-1].time_s
    period_s = max(SAMPLER_PERIOD_S, end_s / 200)
    times_s = np.arange(-2, math.ceil(end_s / period_s) + 1) * period_s
    rng = rng_of("telemetry", made)
    running = times_s >= 0
    columns = {
        ("process_tree", "cpu_busy_frac"): np.where(running, 0.8, 0.3)
        + rng.normal(0, 0.03, len(times_s)),
        ("machine", "cpu_busy_frac"): np.where(running, 0.85, 0.35)
        + rng.normal(0, 0.03, len(times_s)),
        ("process_tree", "rss_bytes"): np.full(len(times_s), 6.0e8),
    }
    if made.label == "counter":
        columns["gpu0", "gpu_power_w"] = np.where(running, watts(made), 9.0)
        columns["gpu0", "gpu_busy_frac"] = np.where(running, 0.7, 0.0)
    n, k = len(times_s), len(columns)
    table = pa.table(
        {
            "t_s": np.repeat(times_s, k),
            "device": [device for device, _ in columns] * n,
            "metric": [metric for _, metric in columns] * n,
            "value": np.stack(list(columns.values()), axis=1).ravel(),
        }
    )
    pq.write_table(table, folder / "telemetry.parquet")


def make_sweep(
    results: Path,
    *,
    batch_sizes: Iterable[int] = (32, 256),
    lrs: Iterable[float] = (0.1,),
    models: Iterable[str] = ("Mlp",),
    seeds: Iterable[int] = range(3),
    base: Made | None = None,
    missed: Iterable[int] = (),
    failed: Iterable[int] = (),
    interrupted: Iterable[int] = (),
    unhealthy: Iterable[int] = (),
) -> list[Path]:
    """A run for each combination, one after the other, seeds fastest; their folders in order.

    Args:
        results: The results folder.
        batch_sizes: Batch sizes.
        lrs: Learning rates.
        models: Of MODELS.
        seeds: Seeds.
        base: What the runs have in common.
        missed: Places in the order of the runs that miss, whatever the model of training says;
            failed, interrupted and unhealthy (flag `other_load`) likewise.
    """
    forced: dict[int, Outcome] = dict.fromkeys(missed, "missed")
    forced |= dict.fromkeys(failed, "failed")
    forced |= dict.fromkeys(interrupted, "interrupted")
    loaded = set(unhealthy)
    folders = []
    base = base or Made()
    for index, (model, lr, batch_size, seed) in enumerate(
        itertools.product(models, lrs, batch_sizes, seeds)
    ):
        made = replace(
            base,
            batch_size=batch_size,
            lr=lr,
            model=model,
            seed=seed,
            start=base.start + timedelta(seconds=10 * index),
            outcome=forced.get(index, base.outcome),
            flags=("other_load",) if index in loaded else base.flags,
        )
        folders.append(make_run(results, made))
    return folders


def make_served(results: Path, trained: Path, served: Served) -> Path:
    """A run of bench.serve of a training run that was made; the folder that it is in."""
    training = read_record(trained)
    who = identity("serve", served.config(training), served.start)
    # As bench.serve does: models of several seeds are repeats of one another.
    same = {**served.config(training), "run": training.config_hash}
    hashed = identity("serve", same, served.start).config_hash
    who = replace(who, config_hash=hashed, run_id=who.run_id.replace(who.config_hash, hashed))
    config = served.config(training)
    folder = create_run_folder(results, who, config)
    append_ledger(results, "launched", who, overrides=[], sweep_id="made")
    columns = requests_of(served, training)
    pq.write_table(pa.table(columns), folder / "requests.parquet")
    (folder / "log.txt").write_text("")
    _finish(results, folder, who, served_record(served, training, who, columns))
    return folder


def make_unreadable(results: Path) -> dict[str, Path]:
    """Folders that no record can be read from, by what is wrong with them."""
    base = results / "train"
    folders = {
        "damaged": base / "20260105T080000Z-0123456789ab-00000001",
        "newer": base / "20260105T080001Z-0123456789ab-00000002",
        "incomplete": base / "20260105T080002Z-0123456789ab-00000003",
        "no_schema": base / "20260105T080003Z-0123456789ab-00000004",
    }
    texts = {
        "damaged": '{"schema_version": 1, "run_id": "cut',
        "newer": '{"schema_version": 999, "run_id": "new"}',
        "incomplete": '{"schema_version": 1, "run_id": "incomplete"}',
        "no_schema": '{"run_id": "old"}',
    }
    for name, folder in folders.items():
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(texts[name])
    return folders
