"""Which qualities stand for runs, and which direction of them is better."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pandas import DataFrame

from analysis.stats.qualities import direction_of, main_qualities, main_values, reported
from tests.analysis.figures.literal import frame, reached, served


def run(name: str, metric: str = "accuracy", **more: Any) -> dict[str, Any]:
    return reached(name, 1.0, target__metric=metric, config_hash=name, **more)


def test_the_target_names_the_quality_of_a_run_and_of_its_servings() -> None:
    trained = run("a", "auroc")
    rows = frame(
        trained,
        run("b", "rmse"),
        served("loaded", trained__run_id=trained["run_id"], task__name="classification"),
        served("unknown", trained__run_id="gone", task__name="regression"),
        served("older", trained__run_id="gone"),
    )
    assert list(main_qualities(rows)) == ["auroc", "rmse", "auroc", "rmse", "accuracy"]


def test_values_are_those_of_each_run() -> None:
    rows = frame(
        run("a", quality_test__accuracy=0.9, quality_test__rmse=7.0),
        run("b", "rmse", quality_test__rmse=3.0, quality__rmse=2.0),
        run("c", "r2"),
    )
    assert main_values(rows).tolist()[:2] == [0.9, 3.0]
    assert np.isnan(main_values(rows)[2])
    assert main_values(rows, "quality").tolist()[1] == 2.0


def test_main_qualities_are_reported_first_and_the_test_split_is_preferred() -> None:
    rows = frame(
        run(
            "a",
            "auroc",
            quality__auroc=0.9,
            quality__val_score=1.0,
            quality_test__accuracy=0.9,
            quality_test__auroc=0.9,
            quality_test__num_samples=10,
            quality_test__at="end",
        )
    )
    assert reported(rows) == ["quality_test.auroc", "quality_test.accuracy", "quality.val_score"]


MINE = "quality_test.a,b:c"  # the signs that separate names in the column


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (frame(run("a", task__directions="accuracy:max,a,b:c:min")), "min"),
        (frame(run("a", task__directions="a,b:c:max")), "max"),
        (frame(run("a", "a,b:c", target__mode="min")), "min"),
        (frame(run("a", task__directions="accuracy:max")), None),
        (frame(run("a")), None),
    ],
)
def test_the_direction_of_a_metric_of_ones_own_is_that_of_the_runs(
    runs: DataFrame, expected: str | None
) -> None:
    assert direction_of(runs, MINE) == expected


def test_runs_must_agree_on_a_direction() -> None:
    rows = frame(run("a", task__directions="mine:max"), run("b", "mine", target__mode="min"))
    with pytest.raises(ValueError, match=r"quality_test\.mine: more of it is better in some runs"):
        direction_of(rows, "quality_test.mine")
    assert direction_of(rows, "quality_test.rmse") == "min"
