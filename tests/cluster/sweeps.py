"""What the tests of launchers have in common: short and endless runs, and a look at a sweep."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from bench.core.records.run import RunRecord
from bench.core.sweep_folder import JobNote, SweepFolder
from tests.cli.command import records
from tests.cluster.slurm import wait_until

ON_SLURM = "hydra/launcher=slurm"
# Seconds of work, nearly all of them imports. A node has one CPU.
QUICK = (
    *("experiment=smoke", "trainer.num_threads=1", "trainer.num_warmup_steps=1", "codecarbon=none"),
    *("probe.num_requests=1", "probe.batch_sizes=[1]", "probe.min_batch_s=0.01"),
)
EASY = "target.value=0.05"  # any model reaches it at its first evaluation
# With as many epochs as these, a run does not end by itself; with others, it misses its target.
TARGET = "target.value=0.99999"
ENDLESS = 400000


def sweep_folder(folder: Path) -> SweepFolder:
    """The latest sweep that was started in a folder."""
    return SweepFolder(max((folder / "results" / "sweeps").iterdir()))


def wait_for_note(folder: Path, num: int) -> JobNote:
    """Wait until a job has begun, and return what it noted."""

    def notes() -> list[JobNote]:
        sweeps = sorted((folder / "results").glob("sweeps/*/"))
        found = SweepFolder(sweeps[-1]).read_notes().get(num) if sweeps else None
        return [found] if found is not None and found.runs else []

    wait_until(f"job {num} has begun", lambda: bool(notes()))
    return notes()[0]


def wait_for_curve(folder: Path, num: int) -> JobNote:
    """Wait until the run of a job was evaluated, and return what the job has noted."""
    note = wait_for_note(folder, num)
    curve = Path(note.runs[0].folder) / "curve.jsonl"
    wait_until(f"job {num} is measured", lambda: curve.exists() and curve.stat().st_size > 0)
    return note


def job_id(folder: Path, num: int) -> str:
    """How SLURM knows a job of the latest sweep."""
    return sweep_folder(folder).read_launched()[num]


def worker(folder: Path, num: int) -> int:
    """The process that makes the runs of a job of the latest sweep, as submitit started it."""
    (found,) = [
        process.pid
        for process in processes_in(folder)
        if "submitit.core._submit" in process.cmdline()
        and process.name() != "srun"
        and _job_id(process.environ()) == job_id(folder, num)
    ]
    return found


def _job_id(variables: Mapping[str, str]) -> str | None:
    """SLURM's id of the job that has these variables in its environment."""
    if "SLURM_ARRAY_JOB_ID" in variables:
        return f"{variables['SLURM_ARRAY_JOB_ID']}_{variables['SLURM_ARRAY_TASK_ID']}"
    return variables.get("SLURM_JOB_ID")


def processes_in(folder: Path) -> list[psutil.Process]:
    """The processes that work in a folder, on this machine or on a node."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has just ended
            if process.cwd() == str(folder):
                found.append(process)
    return found


def wait_for_end(folder: Path, num: int) -> None:
    """Wait until a job has noted its end."""
    wait_until(f"job {num} has ended", lambda: sweep_folder(folder).read_notes()[num].ended)


def kill(pid: int) -> None:
    """As `kill -9` does."""
    os.kill(pid, signal.SIGKILL)


def by_epochs(folder: Path) -> dict[int, RunRecord]:
    """The records of a sweep over budget.max_epochs."""
    return {int(record.config["budget"]["max_epochs"]): record for record in records(folder)}


def hosts(folder: Path) -> list[str]:
    """The hosts that made the runs, sorted."""
    return sorted(record.host["name"] for record in records(folder))
