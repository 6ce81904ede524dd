"""A cluster that cannot take the jobs: one line with the remedy, and nothing waits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.slurm import Slurm
from tests.cluster.sweeps import ON_SLURM, QUICK

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


def test_a_partition_that_does_not_exist(slurm: Slurm, tmp_path: Path) -> None:
    partition = "hydra.launcher.partition=nowhere"
    ended = slurm.run(tmp_path, "-m", ON_SLURM, *QUICK, partition, "seed=0,1")
    assert ended.code == 5
    assert ended.err.count("Invalid partition name specified") == 1, ended.err
    assert "seed=0 and 1 more: never started" in ended.err
    assert "Traceback" not in ended.err
    assert slurm.queue() == []


def test_a_machine_without_slurm(slurm: Slurm, tmp_path: Path) -> None:
    ended = slurm.run(tmp_path, "-m", ON_SLURM, *QUICK, "seed=0,1", PATH=str(tmp_path))
    assert ended.code == 2
    (line,) = ended.err.splitlines()
    assert "there is no sbatch on PATH" in line
    assert not (tmp_path / "results").exists()
