"""A race on two nodes: a free node takes the next run, and what cannot win is stopped there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import records
from tests.cluster.slurm import Slurm
from tests.cluster.sweeps import EASY, ON_SLURM, QUICK, hosts, sweep_folder

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]


def test_a_free_node_takes_the_next_run_of_a_race(cluster: Slurm, tmp_path: Path) -> None:
    # With these learning rates the target is out of reach, or at many times the cost.
    options = (*QUICK, "batch_size=32", "budget.max_epochs=300", "target.value=0.8")
    grid = ("lr=0.1,0.00005,0.00002", "hydra.sweeper.max_seeds=1")
    arguments = ("-m", ON_SLURM, "hydra/sweeper=race", *options, *grid)
    answer = cluster.run(tmp_path, *arguments)
    assert answer.code == 0, answer.err
    found = json.loads((sweep_folder(tmp_path).path / "search.json").read_text())
    assert "lr=0.1" in found["winner"]["overrides"]
    assert found["num_runs"] == len(records(tmp_path))
    assert set(hosts(tmp_path)) == {"node1", "node2"}
    assert "The search has spent" in answer.out
    plan = sweep_folder(tmp_path).read_plan()
    assert plan is not None
    assert len(plan.jobs) == found["num_runs"]


def test_further_seeds_take_the_next_free_node(cluster: Slurm, tmp_path: Path) -> None:
    # An interval of 50% needs two runs.
    keys = {"alpha": "0.5", "max_runs": "2", "width_frac": "1000"}
    repeats = [f"hydra.sweeper.repeats.{key}={value}" for key, value in keys.items()]
    answer = cluster.run(tmp_path, "-m", ON_SLURM, *QUICK, EASY, "repeat=auto", *repeats)
    assert answer.code == 0, answer.err
    assert sorted(record.seed for record in records(tmp_path)) == [0, 1]
    assert hosts(tmp_path) == ["node1", "node2"]
    sweep = sweep_folder(tmp_path)
    (found,) = json.loads((sweep.path / "search.json").read_text())["configurations"]
    assert (found["num_runs"], found["is_narrow"]) == (2, True)
    assert sweep.read_launched().keys() == {0, 1}
