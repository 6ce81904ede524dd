from __future__ import annotations

import numpy as np
import pytest

from analysis.figures.axes import NothingToDraw
from analysis.figures.served import comparable_runs, data_served_tradeoff
from analysis.figures.tradeoff import data_tradeoff
from analysis.figures.tradeoff_draw import staircase
from tests.analysis.figures.literal import by, frame, missed, reached, served

TIME, ENERGY = "target.time_to_target_s", "target.energy_to_target_j"


def test_the_front_is_of_medians_and_the_beaten_stay() -> None:
    runs = frame(
        reached("quick", 1.0, 9.0),
        reached("quick", 2.0, 9.0),
        reached("quick", 3.0, 9.0),
        reached("frugal", 5.0, 1.0),
        reached("beaten", 6.0, 9.5),
    )
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    assert data["quick"]["x"] == 2.0
    assert (data["quick"]["x_low"], data["quick"]["x_high"]) == (1.0, 3.0)
    assert [data[name]["front"] for name in ("quick", "frugal", "beaten")] == [True, True, False]
    assert [data[name]["front_share"] for name in ("quick", "frugal", "beaten")] == [1.0, 1.0, 0.0]


def test_a_configuration_of_which_half_missed_is_never_on_the_front() -> None:
    runs = frame(missed("vain", 0.1, 0.1), missed("vain", 0.3, 0.3), reached("a", 5.0, 5.0))
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    assert bool(data["vain"]["missed"])
    assert not bool(data["vain"]["front"])
    assert data["vain"]["x"] == pytest.approx(0.2)  # what was spent in vain
    assert bool(data["a"]["front"])


def test_a_miss_is_the_worst_in_cost_and_says_nothing_of_accuracy() -> None:
    runs = frame(
        reached("a", 1.0, quality_test__accuracy=0.9), missed("b", 2.0, quality_test__accuracy=0.99)
    )
    data = by(data_tradeoff(runs, x=TIME, y="quality_test.accuracy"), "configuration")
    assert data["b"]["y"] == 0.99
    assert [row["front"] for row in data.values()] == [True, False]


def test_more_accuracy_is_better_and_less_latency() -> None:
    runs = frame(
        reached("good", 1.0, serving__latency_p90_ms=1.0, quality_test__accuracy=0.95),
        reached("bad", 1.0, serving__latency_p90_ms=2.0, quality_test__accuracy=0.90),
    )
    data = data_tradeoff(runs, x="serving.latency_p90_ms", y="quality_test.accuracy")
    assert dict(zip(data["configuration"], data["front"], strict=True)) == {
        "good": True,
        "bad": False,
    }


def test_joules_of_another_label_have_a_front_of_their_own() -> None:
    runs = frame(
        reached("a", 1.0, 1.0, energy_label="modelled"),
        reached("b", 5.0, 5.0),
        reached("c", 6.0, 6.0),
    )
    data = by(data_tradeoff(runs, x=TIME, y=ENERGY), "configuration")
    fronts = {name: row["front"] for name, row in data.items()}
    assert fronts == {"a [modelled]": True, "b [counter]": True, "c [counter]": False}
    assert {row["labels"] for row in data.values()} == {"counter, modelled"}


def test_runs_that_lack_one_of_the_two_are_counted() -> None:
    runs = frame(reached("a", 1.0, 2.0), reached("a", 1.0, None))
    assert set(data_tradeoff(runs, x=TIME, y=ENERGY)["num_without"]) == {1}


def test_no_run_with_both_is_said_with_their_names() -> None:
    with pytest.raises(NothingToDraw, match=f"{TIME} and {ENERGY}"):
        data_tradeoff(frame(reached("a", 1.0)), x=TIME, y=ENERGY)
    with pytest.raises(NothingToDraw, match=r"no run holds model\.size"):
        data_tradeoff(frame(reached("a", 1.0)), x=TIME, y="model.size")


def test_emissions_of_runs_that_all_missed_cannot_be_placed() -> None:
    runs = frame(missed("a", 1.0, target__emissions_to_target_gco2e=None))
    with pytest.raises(NothingToDraw, match="all runs missed"):
        data_tradeoff(runs, x="target.emissions_to_target_gco2e", y=TIME)


def test_a_staircase_reaches_to_where_the_next_point_begins() -> None:
    x, y = staircase(np.array([1.0, 2.0, 4.0]), np.array([9.0, 5.0, 1.0]))
    assert list(zip(x, y, strict=True)) == [(1, 9), (2, 9), (2, 5), (4, 5), (4, 1)]


def pass_over(scenario: str, backend: str, **more: object) -> dict[str, object]:
    return served(
        f"{scenario} {backend}",
        scenario,
        trained__run_id="t",
        serving__backend=backend,
        **more,
    )


def test_latency_and_throughput_of_one_model_come_from_two_passes() -> None:
    runs = frame(
        pass_over(
            "single_stream", "http", serving__latency_p90_ms=2.0, serving__throughput_per_s=400.0
        ),
        pass_over("offline", "http", serving__throughput_per_s=900.0),
        pass_over("single_stream", "eager", serving__latency_p90_ms=1.0),
    )
    names = ("serving.latency_p90_ms", "serving.throughput_per_s")
    chosen, remark = comparable_runs(runs, names)
    assert list(chosen["serving.throughput_per_s"].fillna(-1)) == [900.0, -1]
    assert "offline" in remark
    data = data_served_tradeoff(runs, x=names[0], y=names[1])
    assert list(data["y"]) == [900.0]
    assert set(data["num_without"]) == {1}


def test_without_runs_of_bench_serve_the_probe_of_the_training_stands_in() -> None:
    runs = frame(
        reached(
            "a", 1.0, serving__num_requests=500, serving__latency_p90_ms=1.0, serving__scenario=None
        )
    )
    _, remark = comparable_runs(runs, ("serving.latency_p90_ms",))
    assert remark.startswith("Probe")
    with pytest.raises(NothingToDraw, match=r"serving\.throughput_per_s"):
        comparable_runs(runs, ("serving.throughput_per_s",))
