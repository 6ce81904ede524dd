"""The data behind the serving figures: runs written out by hand, with expected values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pandas import DataFrame

from analysis.figures.compression import data_compression
from analysis.figures.life_cycle import data_life_cycle, life_peers
from analysis.figures.phases import data_stages
from analysis.figures.prepare import NothingToDraw
from analysis.figures.serving import data_latency, data_load, pick_served
from analysis.figures.skew import data_skew, draw_skew
from tests.analysis.figures.literal import by, frame, missed, reached, served


def test_the_distribution_is_of_the_median_run_and_its_percentiles_have_a_floor() -> None:
    runs = frame(
        *(
            served("a", run_id=name, serving__latency_p50_ms=p50)
            for name, p50 in zip("pqr", [3, 1, 2], strict=True)
        )
    )
    assert list(pick_served(runs)["run_id"]) == ["r"]
    requests = DataFrame({"run_id": "r", "latency_ms": np.arange(1, 101) / 10})
    data = data_latency(runs, requests)
    steps = data[data["kind"] == "ecdf"]
    assert steps["share"].iloc[-1] == 1.0
    assert steps["latency_ms"].iloc[-1] == 10.0
    marks = data[data["kind"] == "percentile"].set_index("share")["latency_ms"]
    # 100 samples are enough for p50 (11) and p90 (64), not for p99 (662).
    assert dict(marks) == {0.5: 5.0, 0.9: 9.0}


def test_a_distribution_of_many_samples_is_thinned_and_keeps_its_tail() -> None:
    runs = frame(served("a", run_id="p", serving__latency_p50_ms=1.0))
    requests = DataFrame({"run_id": "p", "latency_ms": np.linspace(1, 2, 100_000)})
    steps = data_latency(runs, requests).query("kind == 'ecdf'")
    assert len(steps) < 400
    assert (steps["share"] > 0.999).sum() > 5


def test_a_run_without_kept_requests_is_reported() -> None:
    runs = frame(served("a", serving__latency_p50_ms=1.0))
    with pytest.raises(NothingToDraw, match="kept its requests"):
        data_latency(runs, DataFrame({"run_id": [], "latency_ms": []}))


def two_trainings_of_one_model_and_another(scenario: str) -> DataFrame:
    """Run q is of the better training; r is of another network."""
    return frame(
        *(
            served(
                f"{name} scenario={scenario}",
                scenario,
                run_id=run_id,
                trained__target_metric="accuracy",
                trained__reached=True,
                quality_test__accuracy=accuracy,
                serving__latency_p50_ms=1.0,
                serving__max_rate_per_s=100.0,
            )
            for run_id, name, accuracy in (
                ("p", "model=cnn lr=0.1", 0.90),
                ("q", "model=cnn lr=1.0", 0.95),
                ("r", "model=mlp lr=0.1", 0.80),
            )
        )
    )


def test_of_the_trainings_of_one_model_the_best_is_drawn() -> None:
    of_one_query = two_trainings_of_one_model_and_another("single_stream")
    under_load = two_trainings_of_one_model_and_another("server")
    requests = DataFrame({"run_id": list("pqr") * 20, "latency_ms": np.arange(1.0, 61.0)})
    rate = {"rate_per_s": 100.0, "latency_p50_ms": 1.0, "latency_p99_ms": 2.0, "valid": True}
    stage = {"stage": "inference", "mean_ms": 1.0}
    rates = DataFrame([{"run_id": name, **rate} for name in "pqr"])
    stages = DataFrame([{"run_id": name, **stage} for name in "pqr"])
    for data in (
        data_latency(of_one_query, requests),
        data_load(under_load, rates),
        data_stages(of_one_query, stages),
    ):
        names = {name.partition(" scenario=")[0] for name in data["configuration"]}
        assert names == {"model=cnn lr=1.0", "model=mlp lr=0.1"}
        assert set(data["num_configurations"]) == {2}
        assert data["remark"].iloc[0].endswith("stands for them (1 others).")
    assert set(pick_served(of_one_query)["run_id"]) == {"q", "r"}


def test_load_has_every_rate_that_was_tried_in_order() -> None:
    runs = frame(
        served(
            "a", "server", run_id="p", serving__latency_bound_ms=10.0, serving__max_rate_per_s=200.0
        )
    )
    rates = DataFrame(
        {
            "run_id": ["p", "p"],
            "rate_per_s": [400.0, 200.0],
            "valid": [False, True],
            "latency_p50_ms": [9.0, 1.0],
            "latency_p99_ms": [50.0, 8.0],
        }
    )
    data = data_load(runs, rates)
    assert list(data["rate_per_s"]) == [200.0, 400.0]
    assert list(data["valid"]) == [True, False]
    with pytest.raises(NothingToDraw, match="several rates"):
        data_load(runs, rates.iloc[:0])


def test_stages_are_of_one_query_at_a_time_where_there_are_such_runs() -> None:
    runs = frame(served("near", run_id="p"), served("under load", "server", run_id="q"))
    stages = DataFrame(
        {
            "run_id": ["p", "p", "p", "q"],
            # The last of a run is the sum of the others: it is no part of the stack.
            "stage": ["network", "inference", "end_to_end", "queue"],
            "mean_ms": [1.0, 3.0, 4.0, 99.0],
        }
    )
    data = data_stages(runs, stages)
    assert dict(zip(data["part"], data["mean"], strict=True)) == {"network": 1.0, "inference": 3.0}
    assert "1 runs under load" in data["remark"].iloc[0]
    with pytest.raises(NothingToDraw, match="has stages"):
        data_stages(runs, stages.iloc[:0])


def test_a_run_without_a_stage_does_not_count_as_0_in_its_mean() -> None:
    runs = frame(served("near", run_id="p"), served("near", run_id="q"), served("far", run_id="r"))
    stages = DataFrame(
        {
            "run_id": ["p", "p", "q", "r"],
            "stage": ["queue", "inference", "inference", "inference"],
            "mean_ms": [2.0, 4.0, 6.0, 9.0],
        }
    )
    data = data_stages(runs, stages)
    near = data[data["configuration"] == "near"].set_index("part")["mean"]
    assert dict(near) == {"queue": 2.0, "inference": 4.0}  # not 1 and 5
    assert "1 runs with an unknown stage are left out" in data["remark"].iloc[0]
    assert set(data["configuration"]) == {"near", "far"}


def test_a_speed_up_is_the_inverse_of_the_ratio_and_its_bounds_change_places() -> None:
    runs = frame(
        served(
            "a",
            compression__method="int8_static",
            compression__accuracy_change=-0.01,
            compression__latency_ratio=0.5,
            compression__latency_ratio_low=0.4,
            compression__latency_ratio_high=0.8,
            compression__size_bytes=25,
            compression__baseline_size_bytes=100,
            compression__num_rounds=20,
        ),
        served("b", compression__method="none"),
    )
    (row,) = data_compression(runs).to_dict("records")
    assert row["speed_up"] == 2.0
    assert (row["speed_up_low"], row["speed_up_high"]) == (1.25, 2.5)
    assert (row["change"], row["change_of"]) == (-1.0, "accuracy (percentage points)")
    assert row["size_ratio"] == 0.25


def answered(configuration: str, name: str, of: str, each_j: float, **more: Any) -> dict[str, Any]:
    facts = {"serving__num_predictions": 10, "serving__duration_s": 1.0, "run_id": name}
    joules = {"serving__energy_per_prediction_j": each_j}
    label = {"serving__energy_per_prediction_label": "counter"}
    scenario = more.pop("scenario", "single_stream")
    return served(configuration, scenario, trained__run_id=of, **facts, **joules, **label, **more)


def test_a_life_is_training_and_predictions_and_breaks_even_where_the_lines_cross() -> None:
    runs = frame(
        reached("t1", 1.0, 10.0, run_id="t1"),
        reached("t2", 1.0, 40.0, run_id="t2"),
        missed("t3", 1.0, run_id="t3"),
        answered("small", "s1", "t1", 3.0),
        answered("large", "s2", "t2", 1.0),
        answered("vain", "s3", "t3", 1.0),
        answered("lost", "s4", "elsewhere", 1.0),
    )
    data = data_life_cycle(runs)
    models = by(data[data["kind"] == "model"], "configuration")
    assert [models["small"]["training"], models["small"]["per_prediction"]] == [10.0, 3.0]
    (point,) = data[data["kind"] == "break_even"].to_dict("records")
    # 10 + 3 n = 40 + n at n = 15, where both have cost 55 J.
    assert (point["num_predictions"], point["cost"]) == (15.0, 55.0)
    assert (point["against"], point["configuration"]) == ("small", "large")
    # One training missed its target, one is not among the runs.
    assert set(data["num_without"]) == {2}


def test_lives_are_compared_at_one_rate_in_one_scenario_and_with_one_target() -> None:
    runs = frame(
        reached("t", 1.0, run_id="t1", folder="/t1"),
        reached("u", 1.0, run_id="t2", folder="/t2", target__value=0.95),
        *(
            served(name, scenario, trained__run_id=of, serving__rate_per_s=rate)
            for name, scenario, of, rate in (
                ("alone", "single_stream", "t1", None),
                ("alone", "single_stream", "t1", None),
                ("slow", "server", "t1", 50.0),
                ("quick", "server", "t1", 100.0),
                ("better", "single_stream", "t2", None),
            )
        ),
    )
    titles = [group.title for group in life_peers(runs, quantity="energy_j")]
    assert len(titles) == len(set(titles)) == 4
    assert {title.partition(", ")[2] for title in titles if title.startswith("server")} == {
        "trained to accuracy at 0.9, rule first, at 50 queries/s",
        "trained to accuracy at 0.9, rule first, at 100 queries/s",
    }


def test_a_rate_found_by_search_is_not_a_requested_rate() -> None:
    search = {"serving__max_rate_per_s": 200.0}
    runs = frame(
        reached("t", 1.0, run_id="t1", folder="/t1"),
        served("a", "server", trained__run_id="t1", serving__rate_per_s=190.0, **search),
        served("b", "server", trained__run_id="t1", serving__rate_per_s=195.0, **search),
    )
    assert len(life_peers(runs, quantity="energy_j")) == 1


def test_why_a_life_is_not_known_is_counted() -> None:
    runs = frame(
        reached("t1", 3.0, run_id="t1"),
        answered("asked", "s1", "t1", 1.0, scenario="server", serving__rate_per_s=50.0),
        answered("alone", "s2", "t1", 1.0),
        answered("lost", "s3", "elsewhere", 1.0),
    )
    data = data_life_cycle(runs, quantity="time_s")
    assert list(data["configuration"]) == ["alone"]
    assert set(data["num_without"]) == {2}
    (reasons,) = set(data["reasons"])
    assert "served at a rate that was asked for, not as fast as it can (1)" in reasons
    assert "its training is not among the runs (1)" in reasons


def test_without_any_life_the_reason_is_given() -> None:
    runs = frame(served("lost", trained__run_id="elsewhere"))
    with pytest.raises(NothingToDraw, match="both its training"):
        data_life_cycle(runs)


def skewed(configuration: str, difference: float, **more: Any) -> dict[str, Any]:
    """A run whose features and outputs differ by so much; rounding explains 0.001 and 0.01."""
    facts = {
        "skew__found": difference > 0.001,
        "skew__features_max_difference": difference,
        "skew__features_tolerance": 0.001,
        "skew__outputs_max_difference": 5 * difference,
        "skew__outputs_tolerance": 0.01,
        "skew__changed_predictions_frac": difference / 10,
    }
    return served(configuration, **{**facts, **more})


def test_skew_is_the_largest_difference_in_multiples_of_rounding() -> None:
    data = data_skew(frame(skewed("a", 0.0), skewed("b", 0.5), skewed("b", 1.0)))
    assert list(data["configuration"]) == ["b", "a"]
    rows = by(data, "configuration")
    assert (rows["b"]["features"], rows["b"]["outputs"]) == pytest.approx((1000, 500))
    assert rows["b"]["changed_pct"] == pytest.approx(10)
    assert (rows["b"]["num_found"], rows["b"]["num_runs"]) == (2, 2)
    assert (rows["a"]["features"], rows["a"]["outputs"], rows["a"]["num_found"]) == (0, 0, 0)


def test_skew_of_a_users_own_server_has_no_features_and_is_drawn() -> None:
    unseen = {"skew__features_max_difference": None, "skew__features_tolerance": None}
    values = {"skew__changed_predictions_frac": None, "skew__outputs_tolerance": None}
    data = data_skew(frame(skewed("a", 0.2, **unseen), skewed("b", 0.1, **unseen, **values)))
    rows = by(data, "configuration")
    assert np.isnan(rows["a"]["features"])
    assert rows["a"]["outputs"] == pytest.approx(100)
    assert np.isnan([rows["b"][name] for name in ("features", "outputs", "changed_pct")]).all()
    for width in ("one", "two"):
        draw_skew(data, width=width)


def test_runs_that_did_not_compare_their_paths_have_no_skew() -> None:
    with pytest.raises(NothingToDraw, match="compared training and serving"):
        data_skew(frame(served("a")))


def test_of_many_configurations_with_skew_some_are_shown() -> None:
    data = data_skew(frame(*(skewed(f"c{n}", float(n)) for n in range(40))))
    assert len(data) <= 16
    assert data["num_configurations"].iloc[0] == 40
    assert data["configuration"].iloc[0] == "c39"
    draw_skew(data, width="one")
