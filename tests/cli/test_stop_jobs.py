"""A signal to the command of a sweep reaches the jobs at work, and keeps others from beginning."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bench.cli.multirun import MULTIRUN, NoteFolder
from bench.cli.stop_jobs import is_stopped, stop_jobs
from bench.core.process import Process, _start_ticks
from bench.core.sweep_folder import JobNote, SweepFolder


def wait(process: subprocess.Popen[bytes]) -> None:
    process.wait()


def note(process: Process, **changes: object) -> JobNote:
    return replace(JobNote(num=0, overrides=[], process=process), **changes)  # type: ignore[arg-type]


def test_a_job_at_work_gets_the_signal_and_is_waited_for(tmp_path: Path) -> None:
    job = subprocess.Popen(["sleep", "600"])
    here = replace(Process.current(), pid=job.pid, start_ticks=_start_ticks(job.pid))
    SweepFolder(tmp_path).write_note(note(here))
    stop_jobs(tmp_path, signal.SIGTERM, sleep=lambda _: wait(job))
    assert job.returncode == -signal.SIGTERM
    assert is_stopped(tmp_path)


@pytest.mark.parametrize(
    "untouched",
    [
        note(Process.current(), ended=True),
        note(Process.current(), scheduler={"kind": "slurm"}),
        note(replace(Process.current(), host="node7")),
    ],
)
def test_other_jobs_get_no_signal(
    tmp_path: Path, untouched: JobNote, monkeypatch: pytest.MonkeyPatch
) -> None:
    SweepFolder(tmp_path).write_note(untouched)
    signals: list[int] = []
    kill = os.kill

    def ask(pid: int, number: int) -> None:
        signals.append(number)
        kill(pid, 0)

    monkeypatch.setattr(os, "kill", ask)
    stop_jobs(tmp_path, signal.SIGTERM)
    assert signal.SIGTERM not in signals


def test_a_job_that_does_not_end_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    SweepFolder(tmp_path).write_note(note(Process.current()))
    waits = iter(range(1000))
    handler = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    try:
        stop_jobs(tmp_path, signal.SIGUSR1, clock=lambda: next(waits), sleep=lambda _: None)
    finally:
        signal.signal(signal.SIGUSR1, handler)
    # A run has 20 s to end, and its record 5 s more.
    assert next(waits) == 27


def test_before_the_launch_nothing_is_created(tmp_path: Path) -> None:
    stop_jobs(tmp_path / "sweep", signal.SIGTERM)
    stop_jobs(None, signal.SIGTERM)
    assert not list(tmp_path.iterdir())


def test_a_new_sweep_in_the_same_folder_begins(tmp_path: Path) -> None:
    stop_jobs(tmp_path, signal.SIGTERM)
    assert is_stopped(tmp_path)
    NoteFolder().on_multirun_start(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    MULTIRUN.clear()
    assert not is_stopped(tmp_path)
