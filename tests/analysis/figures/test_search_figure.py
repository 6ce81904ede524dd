"""The curve of the best so far, over runs whose costs are known."""

from __future__ import annotations

import pytest
from pandas import DataFrame

from analysis.figures.prepare import NothingToDraw
from analysis.figures.search import data_search


def runs(*rows: tuple[str, float, str]) -> DataFrame:
    """Trainings of a configuration, with their seconds and how they ended."""
    return DataFrame(
        [
            {
                "configuration": name,
                "config_hash": name,
                "command": "train",
                "seed": place,
                "repeat": 0,
                "status": "failed" if ending == "failed" else "ok",
                "error.kind": None,
                "started_utc": f"2026-01-01T00:00:{place:02}Z",
                "run_id": str(place),
                "target.metric": "accuracy",
                "target.reached": ending == "reached",
                "target.time_to_target_s": spent if ending == "reached" else None,
                "target.censored_at_s": spent if ending in ("missed", "stopped") else None,
                "target.cut_off_by": "max_time_s" if ending == "stopped" else None,
                "phases.init_s": 1.0,
                "phases.wall_time_s": spent,
                "energy_total_j": None,
                "energy_label": None,
                "health.comparable": True,
            }
            for place, (name, spent, ending) in enumerate(rows)
        ]
    ).astype({"target.time_to_target_s": float, "target.censored_at_s": float})


def test_the_best_so_far_is_the_lowest_expected_cost_of_all_runs_so_far() -> None:
    data = data_search(
        runs(
            ("a", 4.0, "missed"),
            ("b", 3.0, "reached"),
            ("a", 2.0, "stopped"),
            ("c", 9.0, "failed"),
            ("b", 5.0, "missed"),
            ("a", 1.0, "reached"),
        )
    )
    assert data["spent_so_far"].tolist() == [4.0, 7.0, 9.0, 18.0, 23.0, 24.0]
    # b: 3, then (3 + 5) / 1; a: (4 + 2 + 1) / 1 is lower.
    assert data["best"].fillna(-1).tolist() == [-1, 3.0, 3.0, 3.0, 8.0, 7.0]
    assert data["outcome"].tolist() == [
        *("missed", "reached", "stopped"),
        *("failed", "missed", "reached"),
    ]


def test_without_a_hit_there_is_nothing_to_draw() -> None:
    with pytest.raises(NothingToDraw, match="none that reached its target"):
        data_search(runs(("a", 1.0, "missed"), ("b", 2.0, "stopped")))
