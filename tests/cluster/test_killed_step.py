"""A job that dies together with its run: only SLURM and the curve can tell what happened."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.cli.command import records
from tests.cluster.slurm import Slurm, answer
from tests.cluster.sweeps import ENDLESS, ON_SLURM, QUICK, TARGET, kill, wait_for_curve, worker

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


def test_the_record_has_what_slurm_says(slurm: Slurm, tmp_path: Path) -> None:
    command = slurm.start(
        *(tmp_path, "-m", ON_SLURM, *QUICK, TARGET, f"budget.max_epochs={ENDLESS}"),
        SLURM_CONF=slurm.without_accounting(),  # sacct does not answer; squeue must do
    )
    node = wait_for_curve(tmp_path, 0).process.host
    pid = worker(tmp_path, 0)
    for each in (pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))):
        kill(each)
    ended = answer(command)
    assert ended.code == 5, ended.err
    (record,) = records(tmp_path)
    assert (record.status, record.host["name"]) == ("killed", node)
    assert record.error is not None
    assert record.error.message.startswith("SLURM ended its job ")
    assert record.error.message.endswith(f" as FAILED on {node} (SIGKILL)")
    assert record.target is not None
    assert record.target.best_value is not None  # from its curve
