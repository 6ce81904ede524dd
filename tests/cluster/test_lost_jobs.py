"""A job that is lost costs nobody else: its record says why, and the command ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.core.records.run import RunRecord
from tests.cli.command import Answer
from tests.cluster.slurm import Slurm, answer, wait_until
from tests.cluster.sweeps import (
    ENDLESS,
    ON_SLURM,
    QUICK,
    TARGET,
    by_epochs,
    job_id,
    kill,
    processes_in,
    wait_for_curve,
    worker,
)

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

# The runs of one sweep by their number of epochs, and what happens to them.
KILLED, CANCELLED, PREEMPTED, FINISHED = ENDLESS, ENDLESS + 1, ENDLESS + 2, 2


def kill_worker(folder: Path, num: int) -> None:
    wait_for_curve(folder, num)
    kill(worker(folder, num))


@pytest.fixture(scope="module")
def lost(cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer]:
    """Three of four jobs are lost in different ways, while they are measured."""
    folder = tmp_path_factory.mktemp("lost")
    epochs = f"budget.max_epochs={KILLED},{CANCELLED},{PREEMPTED},{FINISHED}"
    command = cluster.start(folder, "-m", ON_SLURM, *QUICK, TARGET, epochs)
    kill_worker(folder, 0)
    wait_for_curve(folder, 1)
    cluster.ask("scancel", job_id(folder, 1))
    node = wait_for_curve(folder, 2).process.host
    urgent = ("--partition=urgent", f"--nodelist={node}", "--output=/dev/null")
    cluster.ask("sbatch", *urgent, "--wrap=true")
    return folder, answer(command)


@pytest.fixture
def runs(lost: tuple[Path, Answer]) -> Mapping[int, RunRecord]:
    return by_epochs(lost[0])


def test_the_command_ends_with_all_rows(
    lost: tuple[Path, Answer], runs: Mapping[int, RunRecord]
) -> None:
    _, ended = lost
    assert ended.code == 5, ended.err
    assert sorted(runs) == [FINISHED, KILLED, CANCELLED, PREEMPTED]
    for epochs in runs:
        assert f"\nbudget.max_epochs={epochs} " in ended.out
    assert "Traceback" not in ended.err


def test_other_jobs_are_measured(runs: Mapping[int, RunRecord]) -> None:
    assert runs[FINISHED].status == "ok"


@pytest.mark.parametrize(
    ("epochs", "reason"), [(KILLED, "killed"), (CANCELLED, "SIGTERM"), (PREEMPTED, "SIGTERM")]
)
def test_a_lost_run_has_a_record_with_the_reason(
    runs: Mapping[int, RunRecord], epochs: int, reason: str
) -> None:
    record = runs[epochs]
    assert record.status == "interrupted"  # its process notices when the worker is killed
    assert record.error is not None
    assert reason in record.error.message
    assert record.host["name"] in ("node1", "node2")
    assert record.target is not None
    assert record.target.censored_at_s is not None  # from its curve


@pytest.mark.parametrize("epochs", [CANCELLED, PREEMPTED])
def test_a_run_that_slurm_ends_keeps_its_joules(runs: Mapping[int, RunRecord], epochs: int) -> None:
    joules = runs[epochs].energy_total_j
    assert joules is not None
    assert joules > 0


def test_a_preempted_job_is_not_queued_again(cluster: Slurm, lost: tuple[Path, Answer]) -> None:
    ids = ["--jobs", job_id(lost[0], 2)]
    states = cluster.ask("sacct", "--duplicates", "-X", "--noheader", "--format=State", *ids)
    assert states.split() == ["PREEMPTED"]
    wait_until("nothing is left in the queue", lambda: cluster.queue() == [])


def test_no_process_is_left_on_the_nodes(lost: tuple[Path, Answer]) -> None:
    wait_until("no process of the sweep is left", lambda: processes_in(lost[0]) == [])
