"""bench.train with runs whose learning rate says how many seconds they take, at once and alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.core.outcome import outcome_record
from bench.core.records.run import RunError
from bench.core.store import CurveWriter, write_record
from bench.core.target import Spent
from bench.launch.job import Job, Progress
from tests.rows import curve

FAILS, MISSES = 7, 9  # as the batch size
SPREAD = 0.01  # of one seed to the next


def run(job: Job, send: Callable[[Progress], None], launched_s: float) -> None:
    """Reach the target after `lr` seconds, more with each seed, unless the cutoff is lower."""
    config = job.config
    cost_s = config["lr"] * (1 + SPREAD * config["seed"])
    limit_s = config["cutoff"]["max_time_s"]
    is_cut = limit_s is not None and limit_s < cost_s
    writer = CurveWriter(job.folder)
    (row,) = curve([0.5 if is_cut else 0.95])
    row = replace(row, time_s=limit_s if is_cut else cost_s)
    writer.append(row)
    if config["batch_size"] == MISSES:
        row = replace(row, quality={"accuracy": 0.1})
    options: dict[str, Any] = {"status": "ok"}
    if config["batch_size"] == FAILS:
        row = replace(row, quality={"accuracy": 0.1})
        error = RunError(kind="diverged", message="loss is nan at step 1")
        options = {"status": "failed", "error": error}
    record = outcome_record(
        job.identity,
        config,
        [row],
        host=job.host,
        spent=Spent.at(row),
        cut_off_by="max_time_s" if is_cut else None,
        **options,
    )
    write_record(job.folder, record)
