"""A training over two devices, inside a job of SLURM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.command import records
from tests.cluster.slurm import Slurm, answer
from tests.cluster.sweeps import ON_SLURM, QUICK

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


def assert_two_ranks(folder: Path) -> None:
    (record,) = records(folder)
    assert record.status == "ok", record.error
    (log,) = folder.glob("results/train/*/log.txt")
    assert "GLOBAL_RANK: 1" in log.read_text()
    assert "auto-requeue" not in log.read_text()


def test_in_a_job_of_a_sweep(slurm: Slurm, tmp_path: Path) -> None:
    ended = slurm.run(tmp_path, "-m", ON_SLURM, *QUICK, "trainer.devices=2")
    assert ended.code == 0, ended.err
    assert_two_ranks(tmp_path)


def test_in_a_step_that_the_user_starts(slurm: Slurm, tmp_path: Path) -> None:
    train = (sys.executable, "-m", "bench.train", *QUICK, "trainer.devices=2")
    ended = answer(slurm.start_program(tmp_path, "srun", *train))
    assert ended.code == 0, ended.err
    assert_two_ranks(tmp_path)
