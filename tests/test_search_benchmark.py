"""The replays of searches: known answers on a grid of four configurations, and its table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.search.trial import Result, Trial
from benchmarks import search_cost, search_evidence
from benchmarks.search_grids import Grid, digits_90, made_up, published
from tests.analysis.made import make_sweep
from tools.published_grid import main

# One seed; the target is reached at these costs, the rungs on the way to it at a fifth and a half.
COST = np.array([[4.0], [1.0], [2.0], [9.0]])
GRID = Grid(
    name="four",
    keys=[{"place": place} for place in range(4)],
    cost=COST,
    reached=np.array([[True], [True], [True], [False]]),
    rungs=np.array([[[0.8, 2.0]], [[0.2, 0.5]], [[0.4, 1.0]], [[1.8, np.inf]]]),
)
NAMED = ("--name", "grid", "--command", "made")


def test_one_seed_of_each_costs_all_runs() -> None:
    assert search_cost.one_seed_each(GRID, 0) == (16.0, 1, None)


def test_the_expected_cost_counts_misses() -> None:
    grid = Grid(
        name="",
        keys=[{}, {}],
        cost=np.array([[1.0, 5.0], [5.0, 5.0]]),
        reached=np.array([[True, False], [False, False]]),
    )
    assert grid.ert().tolist() == [6.0, np.inf]


def test_a_run_is_stopped_at_its_limit() -> None:
    trial = Trial(num=0, candidate=0, seed=0, limit=3.0)
    assert search_cost.run(GRID, trial) == Result(spent=3.0, reached=False)
    trial = Trial(num=0, candidate=3, seed=0)
    assert search_cost.run(GRID, trial) == Result(spent=9.0, reached=False)


@pytest.mark.parametrize("seed", range(5))
def test_every_search_finds_the_best_of_a_grid_that_does_not_vary(seed: int) -> None:
    whole = float(COST.sum())
    for name, search in search_cost.SEARCHES.items():
        if name in {"random search", "median pruner", "race, Optuna's suggestions"}:
            continue
        found = search(GRID, seed)
        assert found is not None
        assert found.chosen == 1, name
        assert found.spent <= whole


def test_halving_pauses_two_thirds_at_each_budget() -> None:
    # log3(4) = 1 round: all four spend 9 / 3 = 3 at most, and 4 // 3 = 1 goes on.
    found = search_cost.halving(GRID, 0)
    assert found is not None
    assert found.spent == 3.0 + 1.0 + 2.0 + 3.0


def test_without_a_ladder_there_is_no_halving() -> None:
    assert search_cost.halving(digits_90(), 0) is None
    assert search_cost.median_pruner(digits_90(), 0) is None


def test_the_median_pruner_stops_what_is_below_the_median() -> None:
    pytest.importorskip("optuna")
    grid = next(made_up())
    found = search_cost.median_pruner(grid, 0)
    assert found is not None
    assert found.spent < grid.cost[:, 0].sum()


def test_a_table_has_a_row_for_each_search() -> None:
    pytest.importorskip("optuna")
    table = list(search_cost.rows(GRID, orders=2))
    assert [row[0] for row in table[1:]] == list(search_cost.SEARCHES)
    assert {len(row) for row in table} == {7}


def test_an_obvious_best_is_separated() -> None:
    race = search_evidence.race(1, 1.0, 0.05, 0)
    look, leader = race.evidence(), race.leader()
    assert look is not None
    assert look.is_enough
    assert leader is not None
    assert leader.place == 0


def test_a_published_grid_is_read_again(tmp_path: Path) -> None:
    make_sweep(tmp_path / "results", batch_sizes=(32, 64), seeds=range(2), missed=(1,))
    out = tmp_path / "published"
    arguments = [
        str(tmp_path / "results"),
        "--name",
        "grid",
        "--command",
        "made",
        "--out",
        str(out),
    ]
    assert main(arguments) == 0
    grid = published(out / "grid.csv")
    assert grid.cost.shape == (2, 2)
    assert grid.keys == [{"batch_size": 32.0}, {"batch_size": 64.0}]
    assert grid.reached.sum() == 3
    assert (grid.cost > 0).all()
    assert grid.rungs is not None
    assert json.loads((out / "grid.json").read_text())["command"] == "made"


def test_a_grid_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "missing"), *NAMED]) == 2
    assert "missing" in capsys.readouterr().err
