"""Ctrl-C cancels the jobs of a sweep. If the command is killed, they go on and can be gathered."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.cli.command import records
from tests.cluster.slurm import Slurm, answer, wait_until
from tests.cluster.sweeps import ENDLESS, ON_SLURM, QUICK, TARGET, job_id, wait_for_curve

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


def test_ctrl_c_cancels_the_jobs_and_waits_for_their_records(slurm: Slurm, tmp_path: Path) -> None:
    endless = f"budget.max_epochs={ENDLESS}"
    command = slurm.start(tmp_path, "-m", ON_SLURM, *QUICK, TARGET, endless, "seed=0,1,2")
    for num in (0, 1):
        wait_for_curve(tmp_path, num)
    pressed_s = time.monotonic()
    command.send_signal(signal.SIGINT)
    wait_until("the waiting job has left the queue", lambda: len(slurm.queue()) < 3)
    command.send_signal(signal.SIGINT)  # the impatient press it again
    ended = answer(command)
    assert time.monotonic() - pressed_s < 40
    assert ended.code == 130, ended.err
    assert slurm.queue() == []
    assert [record.status for record in records(tmp_path)] == ["interrupted", "interrupted"]
    assert "1 of 3 runs were not started" in ended.err
    assert "Traceback" not in ended.err


def test_jobs_outlive_a_killed_command_and_resume_gathers_them(
    slurm: Slurm, tmp_path: Path
) -> None:
    limit = ("budget.max_time_s=3", f"budget.max_epochs={ENDLESS}")
    arguments = ("-m", ON_SLURM, *QUICK, TARGET, *limit, "seed=0,1")
    command = slurm.start(tmp_path, *arguments)
    for num in (0, 1):
        wait_for_curve(tmp_path, num)
    jobs = [job_id(tmp_path, num) for num in (0, 1)]
    slurm.ask("scancel", "--signal=STOP", *jobs)  # so that they run while the next command looks
    command.kill()
    command.wait()

    early = slurm.run(tmp_path, *arguments, "resume=true")
    for seed in (0, 1):
        assert f"seed={seed}" in early.err
    assert {line.split()[0] for line in slurm.queue()} == set(jobs)

    slurm.ask("scancel", "--signal=CONT", *jobs)
    wait_until("the jobs have ended", lambda: slurm.queue() == [])
    late = slurm.run(tmp_path, *arguments, "resume=true")
    assert late.code == 0, late.err
    assert "2 of 2 runs were finished before" in late.err
    assert [record.status for record in records(tmp_path)] == ["ok", "ok"]
