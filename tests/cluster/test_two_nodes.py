"""One training over two nodes of SLURM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.core.records.run import RunRecord
from tests.cli.command import records
from tests.cluster.slurm import Slurm, answer, wait_until
from tests.cluster.sweeps import ENDLESS, QUICK, TARGET

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

TRAIN = (sys.executable, "-m", "bench.train", *QUICK, "trainer.num_nodes=2")
STEP = ("srun", "-N2", "--ntasks-per-node=1", "--exclusive")
# The names of the nodes do not resolve, and both are on this machine.
NETWORK = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}


def assert_joules_of_both(record: RunRecord) -> None:
    assert [node.host["name"] for node in record.nodes] == ["node1", "node2"]
    parts = [node.energy_total_j for node in record.nodes]
    assert record.energy_total_j == pytest.approx(sum(part or 0.0 for part in parts))


def test_a_step_makes_one_run(slurm: Slurm, tmp_path: Path) -> None:
    ended = answer(slurm.start_program(tmp_path, *STEP, *TRAIN, **NETWORK))
    assert ended.code == 0, ended.err
    (record,) = records(tmp_path)
    assert record.status == "ok"
    assert_joules_of_both(record)
    scheduler = record.nodes[1].host["scheduler"]
    assert (scheduler["node"], scheduler["exclusive"]) == ("node2", True)
    again = answer(slurm.start_program(tmp_path, *STEP, *TRAIN, "resume=true", **NETWORK))
    assert again.code == 0, again.err
    assert len(records(tmp_path)) == 1


def test_a_cancelled_step_is_interrupted_with_the_joules_of_both_nodes(
    slurm: Slurm, tmp_path: Path
) -> None:
    endless = (TARGET, f"budget.max_epochs={ENDLESS}")
    step = slurm.start_program(tmp_path, *STEP, *TRAIN, *endless, **NETWORK)
    wait_until(
        "the run was evaluated",
        lambda: any(path.stat().st_size for path in tmp_path.glob("results/train/*/curve.jsonl")),
    )
    slurm.ask("scancel", "--user=root")
    assert answer(step).code != 0
    (record,) = records(tmp_path)
    assert record.status == "interrupted"
    assert record.error is not None
    assert record.error.message.endswith("stopped by SIGTERM")
    assert_joules_of_both(record)
