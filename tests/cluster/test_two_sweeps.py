"""Two sweeps at the same time into one results folder, one of them on nodes that it shares."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.ledger import Ledger
from tests.cli.command import records
from tests.cluster.slurm import Slurm, answer
from tests.cluster.sweeps import ON_SLURM, QUICK

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


@pytest.fixture(scope="module")
def both(cluster: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seed 0 has a node to itself; Hydra's own launcher makes seed 1 on one that others may use."""
    folder = tmp_path_factory.mktemp("both")
    sweeps = [
        cluster.start(folder, "-m", ON_SLURM, *QUICK, "seed=0"),
        cluster.start(folder, "-m", "hydra/launcher=submitit_slurm", *QUICK, "seed=1"),
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
