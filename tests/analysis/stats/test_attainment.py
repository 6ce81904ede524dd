from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.load.runs import load_ladder, load_runs
from analysis.stats.attainment import target_ecdf
from tests.analysis.made import make_sweep


def test_every_pair_of_run_and_rung_counts_reached_or_not() -> None:
    """Two runs with two rungs: solved at 1 and 3 by the first, at 3 by the second, one never:
    1/4 at 1, 3/4 at 3, and no further.
    """
    ladder = pd.DataFrame(
        [("a", True, 1.0), ("a", True, 3.0), ("b", True, 3.0), ("b", False, None)],
        columns=["run_id", "reached", "time_s"],
    )
    runs = pd.DataFrame({"run_id": ["a", "b"], "configuration": "x"})
    found = target_ecdf(ladder, runs)
    assert found["time_s"].tolist() == [1.0, 3.0]
    assert found["solved_frac"].tolist() == [0.25, 0.75]
    assert found["num_pairs"].tolist() == [4, 4]
    assert found["num_runs"].tolist() == [2, 2]


def test_a_configuration_that_solved_nothing_is_there() -> None:
    ladder = pd.DataFrame({"run_id": ["a"], "reached": [False], "time_s": [None]})
    runs = pd.DataFrame({"run_id": ["a"], "configuration": ["x"]})
    found = target_ecdf(ladder, runs)
    assert found["solved_frac"].tolist() == [0.0]
    assert found["time_s"].isna().all()


def test_failed_runs_stay_in_the_denominator(tmp_path: Path) -> None:
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(2), failed=[1])
    runs = load_runs([tmp_path]).runs
    found = target_ecdf(load_ladder(runs), runs, "samples")
    assert (found["num_pairs"] == 12).all()
    assert found["solved_frac"].iloc[-1] < 1
    assert found["solved_frac"].is_monotonic_increasing
