"""One results folder for two sweeps at the same time, and for the models that they trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.ledger import Ledger
from tests.cli.command import records
from tests.cluster.slurm import Slurm, answer
from tests.cluster.sweeps import EASY, ON_SLURM, QUICK

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture(scope="module")
def both(cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seed 0 has a node to itself; Hydra's own launcher makes seed 1 on one that others may use."""
    folder = tmp_path_factory.mktemp("both")
    sweeps = [
        cluster.start(folder, "-m", ON_SLURM, *QUICK, EASY, "seed=0"),
        cluster.start(folder, "-m", "hydra/launcher=submitit_slurm", *QUICK, EASY, "seed=1"),
    ]
    for each in sweeps:
        ended = answer(each)
        assert ended.code == 0, ended.err
    return folder


def test_the_ledger_has_each_run_once(both: Path) -> None:
    ledger = Ledger(both / "results")
    assert ledger.skipped_note is None
    events = [line["event"] for line in ledger.events]
    assert sorted(events) == ["ended"] * 2 + ["launched"] * 2


def test_a_run_on_a_node_that_others_may_use_is_not_comparable(both: Path) -> None:
    for record in records(both):
        is_alone = record.seed == 0
        assert record.host["scheduler"]["exclusive"] is is_alone
        assert record.health is not None
        assert ("shared_node" in record.health.flags) is not is_alone
        assert is_alone or not record.health.comparable


def test_the_models_of_both_are_served_on_nodes(slurm: Slurm, both: Path) -> None:
    short = ("scenario.min_duration_s=0.1", "scenario.warmup_queries=1", "meter=none")
    ended = slurm.run(both, "-m", ON_SLURM, "run=*", *short, module="bench.serve")
    assert ended.code == 0, ended.err
    served = records(both, "serve")
    assert len(served) == 2
    assert {record.host["name"] for record in served} <= {"node1", "node2"}
