"""Which configurations are nearest to a run's own, and in which keys they differ."""

from __future__ import annotations

from pathlib import Path

from analysis.load.runs import load_runs
from analysis.page.neighbours import neighbours
from tests.analysis.made import Made, Served, make_served, make_sweep


def test_the_nearest_differ_in_one_key_by_one_step(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(32, 64, 512), lrs=(0.03, 0.1), seeds=range(2))
    runs = load_runs([tmp_path]).runs
    found = neighbours(runs)
    assert set(found) == set(runs["run_id"])
    is_own = runs["configuration"].eq("batch_size=32 lr=0.03")
    first, second = (found[run_id] for run_id in runs.loc[is_own, "run_id"])
    assert first == second
    # One key and one step; one key and two steps; both keys.
    assert [[tuple(key) for key in each["keys"]] for each in first] == [
        [("batch_size", "32", "64")],
        [("lr", "0.03", "0.1")],
        [("batch_size", "32", "512")],
        [("batch_size", "32", "64"), ("lr", "0.03", "0.1")],
    ]
    names = dict(zip(runs["run_id"], runs["configuration"], strict=True))
    assert all(names[each["run_id"]] == each["name"] for each in first)


def test_runs_that_may_not_be_compared_are_no_neighbours(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=(32,), seeds=(0,))
    make_sweep(tmp_path, batch_sizes=(64,), seeds=(0,), base=Made(target=0.8))
    assert neighbours(load_runs([tmp_path]).runs) == {}


def test_a_serving_names_the_model_that_is_served(tmp_path: Path) -> None:
    trained = make_sweep(tmp_path, batch_sizes=(32, 64), seeds=(0,))
    for folder in trained:
        served = make_served(tmp_path, folder, Served(num_requests=100))
    runs = load_runs([tmp_path]).runs
    (near,) = neighbours(runs)[served.name]
    assert near["keys"] == [["trained", "batch_size=64", "batch_size=32"]]
