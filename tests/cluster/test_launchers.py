"""Launchers of Hydra that start processes on this machine keep the same promises."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cli.command import records, start
from tests.cluster.slurm import answer
from tests.cluster.sweeps import (
    ENDLESS,
    QUICK,
    TARGET,
    by_epochs,
    kill,
    wait_for_curve,
    wait_for_end,
    wait_for_note,
)

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.mark.parametrize("launcher", ["submitit_local", "joblib"])
def test_all_runs_are_made_and_found_again(tmp_path: Path, launcher: str) -> None:
    arguments = ("-m", f"hydra/launcher={launcher}", *QUICK, "shared=true", "seed=0,1")
    ended = answer(start(tmp_path, *arguments))
    assert ended.code == 0, ended.err
    assert [record.status for record in records(tmp_path)] == ["ok", "ok"]
    again = answer(start(tmp_path, *arguments, "resume=true"))
    assert again.code == 0, again.err
    assert "2 of 2 runs were finished before" in again.err
    assert len(records(tmp_path)) == 2


def test_a_killed_worker_of_joblib_costs_no_record(tmp_path: Path) -> None:
    two = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "shared=true")
    epochs = f"budget.max_epochs={ENDLESS},2"
    command = start(tmp_path, "-m", *two, *QUICK, TARGET, epochs)
    worker = wait_for_curve(tmp_path, 0).process
    wait_for_note(tmp_path, 1)
    wait_for_end(tmp_path, 1)  # joblib kills its other workers when it loses one
    kill(worker.pid)
    ended = answer(command)
    assert ended.code == 5, ended.err
    runs = by_epochs(tmp_path)
    assert runs[2].status == "ok"
    assert runs[ENDLESS].status in ("killed", "interrupted")
    assert "kill" in str(runs[ENDLESS].error)
    assert "Traceback" not in ended.err


def test_ctrl_c_ends_the_runs_of_joblib_with_their_records(tmp_path: Path) -> None:
    """joblib kills its processes when a signal interrupts it; the runs have ended before."""
    two = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "shared=true")
    epochs = f"budget.max_epochs={ENDLESS},2,3"
    command = start(tmp_path, "-m", *two, *QUICK, TARGET, epochs)
    wait_for_curve(tmp_path, 0)
    command.send_signal(signal.SIGINT)
    ended = answer(command)
    assert ended.code == 130, ended.err
    run = by_epochs(tmp_path)[ENDLESS]
    assert run.status == "interrupted"
    assert run.error is not None
    assert run.error.message == "stopped by Ctrl-C (SIGINT)"
    assert "resume=true continues" in ended.err
    assert "Traceback" not in ended.err
