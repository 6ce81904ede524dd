"""A training over two devices, inside a job of SLURM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.command import records
from tests.cluster.slurm import Slurm, answer
from tests.cluster.sweeps import ON_SLURM, QUICK

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

TWO = (*QUICK, "trainer.devices=2")


def test_both_ranks_train_and_lightning_queues_nothing_again(slurm: Slurm, tmp_path: Path) -> None:
    sweep, step = tmp_path / "sweep", tmp_path / "step"
    sweep.mkdir()
    step.mkdir()
    commands = [
        slurm.start(sweep, "-m", ON_SLURM, *TWO),
        slurm.start_program(step, "srun", sys.executable, "-m", "bench.train", *TWO),
    ]
    for folder, command in zip((sweep, step), commands, strict=True):
        ended = answer(command)
        assert ended.code == 0, ended.err
        (record,) = records(folder)
        assert record.status == "ok", record.error
        (log,) = folder.glob("results/train/*/log.txt")
        assert "GLOBAL_RANK: 1" in log.read_text()
        assert "auto-requeue" not in log.read_text()
