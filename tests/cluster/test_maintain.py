"""Policies on one stream, each measured on a node of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.core.maintenance_files import read_windows
from tests.cli.command import records
from tests.cluster.slurm import Slurm
from tests.cluster.sweeps import ON_SLURM

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

QUICK = (
    *("experiment=maintain_smoke", "trainer.num_threads=1", "accuracy_to_hold=0.4"),
    *("stream.num_windows=5", "stream.window=100", "stream.initial_samples=150"),
    *("stream.source.num_samples=4000", "model.width=8", "model.depth=1", "budget.max_epochs=4"),
)


def test_each_node_measures_one_policy_on_the_same_stream(slurm: Slurm, tmp_path: Path) -> None:
    policies = ("-m", ON_SLURM, *QUICK, "policy=never,every")
    ended = slurm.run(tmp_path, *policies, module="bench.maintain")
    assert ended.code == 0, ended.err
    never, every = sorted(
        records(tmp_path, "maintain"), key=lambda record: record.config["policy"]["_target_"]
    )[::-1]
    assert {never.host["name"], every.host["name"]} == {"node1", "node2"}
    assert never.maintenance is not None
    assert every.maintenance is not None
    assert [never.maintenance.num_retrains, every.maintenance.num_retrains] == [0, 1]
    by_window = [
        [row.errors for row in read_windows(tmp_path / "results" / "maintain" / record.run_id)]
        for record in (never, every)
    ]
    # The retraining comes after the fourth window.
    assert by_window[0][:4] == by_window[1][:4]
    assert "policy=every" in ended.out
