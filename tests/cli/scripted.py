"""Runs whose seed decides how they end, each in a fresh process, without torch."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.core.outcome import outcome_record
from bench.core.records.health import Health
from bench.core.records.run import RunError
from bench.core.store import CurveWriter, write_record
from bench.launch.child import Interrupted
from bench.launch.job import Job, Progress
from tests.rows import curve

OK, INCOMPARABLE, FAILS, KILLED, DAMAGED, REFUSED, RESULTS_GONE, WAITS, KILLS_SERVER = range(9)


def run(job: Job, send: Callable[[Progress], None], launched_s: float) -> None:
    """End as the seed says."""
    seed = job.config["seed"]
    print("a line in the log, and the names of all variables:", *sorted(os.environ), flush=True)
    writer = CurveWriter(job.folder)
    rows = curve([0.5, 0.95])
    for row in rows:
        writer.append(row)
    send(Progress(stage="accuracy 0.950 of 0.9, 2.0 s"))
    if seed == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == RESULTS_GONE:
        tempfile.tempdir = str(job.folder.parents[2] / "rescue")  # where its record goes then
        shutil.rmtree(job.folder.parents[1])
    if seed == KILLS_SERVER:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(0.1)
    if seed == DAMAGED:
        (job.folder / "run.json").write_text("{")
        return
    status, error = "ok", None
    try:
        if seed == WAITS:
            send(Progress(stage="waiting"))
            time.sleep(600)
    except Interrupted as reason:
        status, error = "interrupted", RunError(kind="interrupted", message=str(reason))
    if seed == FAILS:
        error = RunError(kind="ValueError", message="cannot open [/data/x] [bold]\x1b[2J")
        status = "failed"
    if seed == REFUSED:
        status, error = "refused", RunError(kind="CompressionRefused", message="no int8 here")
    options: dict[str, Any] = {"status": status, "error": error, "host": job.host}
    record = outcome_record(job.identity, job.config, rows, **options)
    write_record(job.folder, replace(record, health=Health(comparable=seed != INCOMPARABLE)))
