"""Rows of the summary; tests/analysis/tables/test_tables.py has more of them, as tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.load.runs import load_runs
from analysis.stats.summary import summarise
from tests.analysis.made import make_sweep


def test_a_miss_on_several_nodes_pays_the_rent_of_all_of_them(tmp_path: Path) -> None:
    """One of two runs misses: the expected cost is that of a hit and of one miss before it.

    A miss of an hour on three nodes at 2 USD costs 6 USD, a hit 1 USD; 7 USD in all.
    """
    make_sweep(tmp_path, batch_sizes=[32], seeds=range(2), missed=[0])
    runs = load_runs([tmp_path]).runs
    runs["phases.wall_time_s"], runs["config.trainer.num_nodes"] = 3600.0, 3.0
    runs["config.price.usd_per_hour"], runs["config.price.usd_per_kwh"] = 2.0, None
    runs.loc[runs["target.reached"].eq(True), "target.cost_to_target_usd"] = 1.0
    rows = summarise(runs).set_index("metric")
    assert rows.loc["expected_cost_usd", "value"] == pytest.approx(7.0)
