from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.stats.pareto import Noise, front_probability, noise_of, pareto_front
from bench.core.metric import Better

NAN, INF = float("nan"), float("inf")
Pair = tuple[float, float]


def front(points: list[Pair], better: tuple[Better, Better] = ("min", "min")) -> list[bool]:
    return list(pareto_front(np.array(points, dtype=float).reshape(-1, 2), better).tolist())


def test_dominated_points_are_not_on_the_front() -> None:
    assert front([(1, 3), (2, 2), (3, 1), (3, 3), (2, 2.5)]) == [True, True, True, False, False]


def test_directions() -> None:
    points: list[Pair] = [(1, 0.9), (2, 0.95), (3, 0.94)]
    assert front(points, ("min", "max")) == [True, True, False]
    assert front(points, ("max", "max")) == [False, True, True]
    with pytest.raises(ValueError, match="better=less: must be min or max"):
        front(points, ("less", "max"))  # type: ignore[arg-type]


def test_ties_stand_and_fall_together() -> None:
    assert front([(1, 2), (1, 2), (2, 1), (2, 2), (2, 2)]) == [True, True, True, False, False]
    assert front([(1, 2), (1, 3)]) == [True, False]


def test_missing_values_and_misses_are_not_on_the_front() -> None:
    assert front([(NAN, 0), (5, 5), (INF, 0), (0, INF)]) == [False, True, False, False]
    assert front([(1, -INF), (2, 0.5)], ("min", "max")) == [False, True]
    assert front([]) == []
    with pytest.raises(ValueError, match=r"must be \(n, 2\)"):
        pareto_front(np.zeros((3, 3)), ("min", "min"))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=14))
@settings(max_examples=200, deadline=None)
def test_it_is_what_comparing_all_pairs_gives(points: list[tuple[int, int]]) -> None:
    def dominated(p: tuple[int, int]) -> bool:
        return any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)

    expected = [not dominated(p) for p in points]
    assert front([(float(x), float(y)) for x, y in points]) == expected


def frame(**groups: list[Pair]) -> pd.DataFrame:
    rows = [
        {"configuration": name, "x": x, "y": y} for name, each in groups.items() for x, y in each
    ]
    return pd.DataFrame(rows)


def test_probability_of_being_on_the_front() -> None:
    """Half of b's six runs are at (0, 0), half at (2, 2). Of six draws, at least four are (0, 0) in
    22/64 = 11/32 of cases: b beats a, at (1, 1). In as many cases a beats b, and in the other 10/32
    the median of b is (1, 1), too. Each of the two is on the front in 21/32.
    """
    found = front_probability(
        frame(a=[(1, 1)] * 6, b=[(0.0, 0.0)] * 3 + [(2.0, 2.0)] * 3, c=[(9, 9)] * 6),
        "x",
        "y",
        ("min", "min"),
        num_resamples=8000,
    ).set_index("configuration")
    assert found["front_probability"].to_dict() == pytest.approx(
        {"a": 21 / 32, "b": 21 / 32, "c": 0.0}, abs=0.02
    )
    assert found["on_front"].to_dict() == {"a": True, "b": True, "c": False}
    assert found["num"].to_dict() == {"a": 6, "b": 6, "c": 6}


@pytest.mark.parametrize("num", [1, 2, 5])
def test_shares_need_six_runs_of_each_configuration(num: int) -> None:
    """Two runs of one seed each: "100%" would say nothing but that they were resampled."""
    found = front_probability(
        frame(a=[(1.0, 2.0)] * 8, b=[(2.0, 1.0)] * num), "x", "y", ("min", "min")
    )
    assert found["on_front"].all()
    assert found["front_probability"].isna().all()
    enough = front_probability(frame(a=[(1, 2)] * 8, b=[(2, 1)] * 6), "x", "y", ("min", "min"))
    assert enough["front_probability"].tolist() == [1, 1]


def test_misses_count_as_the_worst_and_missing_is_counted() -> None:
    runs = frame(hits=[(1, 0.9), (2, 0.9), (3, 0.9)] * 2, mixed=[(1, 0.95)] * 6)
    missed = pd.Series([False] * 6 + [True, True, False] * 2)
    found = front_probability(
        runs, "x", "y", ("min", "max"), missed=missed, num_resamples=4000
    ).set_index("configuration")
    assert found["on_front"].to_dict() == {"hits": True, "mixed": False}
    assert pd.isna(found["x"]["mixed"])
    # At least four hits of six draws, p = 1/3: (60 + 12 + 1) / 729; three leave it infinite.
    assert found.loc["mixed", "front_probability"] == pytest.approx(73 / 729, abs=0.02)
    runs.loc[0, "y"] = NAN
    again = front_probability(runs, "x", "y", ("min", "max")).set_index("configuration")
    assert again.loc["hits", "num_missing"] == 1
    assert again.loc["hits", "x"] == 2


def test_a_configuration_without_values_is_listed_and_never_on_the_front() -> None:
    found = front_probability(
        frame(a=[(NAN, 1)], b=[(1, 1)] * 6), "x", "y", ("min", "min")
    ).set_index("configuration")
    assert found["on_front"].to_dict() == {"a": False, "b": True}
    assert found["front_probability"].to_dict() == pytest.approx({"a": NAN, "b": 1.0}, nan_ok=True)
    assert found["num_missing"].to_dict() == {"a": 1, "b": 0}


def bounded(points: list[Pair], down: Pair, up: Pair) -> list[bool]:
    values = np.array(points, dtype=float)
    bounds = values - np.array(down), values + np.array(up)
    return list(pareto_front(values, ("min", "max"), bounds).tolist())


def test_only_a_clear_difference_dominates() -> None:
    """Uncertainties of 3 and 4 make one of 5 for the difference of two such values."""
    assert bounded([(10, 0.9), (14.9, 0.9)], (3, 0), (4, 0)) == [True, True]
    assert bounded([(10, 0.9), (15.1, 0.9)], (3, 0), (4, 0)) == [True, False]
    # Clearly less accurate and no faster beyond noise: dominated. Without noise it is a rival.
    points: list[Pair] = [(10, 0.97), (9.9, 0.90)]
    assert bounded(points, (0.5, 0.01), (0.5, 0.01)) == [True, False]
    assert front(points, ("min", "max")) == [True, True]


def test_the_distance_to_the_nearer_bound_counts_whatever_the_direction() -> None:
    """Towards the other value: what the better one may be worse by, the worse one better by."""
    # The better accuracy, 0.9, may be as low as 0.85; the worse, 0.8, as high as 0.81.
    assert bounded([(1, 0.9), (1, 0.8)], (0, 0.05), (0, 0.01)) == [True, False]
    assert bounded([(1, 0.9), (1, 0.86)], (0, 0.05), (0, 0.01)) == [True, True]
    # Less time: the better one, 10, may be as high as 15; the worse, 12, as low as 11.
    assert bounded([(10, 1), (12, 1)], (1, 0), (5, 0)) == [True, True]
    assert bounded([(10, 1), (12, 1)], (1, 0), (1, 0)) == [True, False]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12),
    st.lists(st.tuples(st.floats(0, 4), st.floats(0, 4)), min_size=12, max_size=12),
)
@settings(max_examples=200, deadline=None)
def test_some_point_is_on_the_front_whatever_is_uncertain(
    points: list[tuple[int, int]], widths: list[Pair]
) -> None:
    values, half = np.array(points, dtype=float), np.array(widths[: len(points)])
    assert pareto_front(values, ("min", "min"), (values - half, values + half)).any()
    exact = pareto_front(values, ("min", "min"), (values, values))
    assert exact.tolist() == front([(float(x), float(y)) for x, y in points])


def sweep_of_one_network(accuracies: list[float], num_runs: int = 1) -> pd.DataFrame:
    """The probe of one network in sweeps of the batch size: the latency jitters by 5%."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "configuration": f"batch_size={2**place}",
            "serving.latency_p90_ms": 0.1 * (1 + 0.05 * rng.uniform(-1, 1)),
            "quality_test.accuracy": accuracy,
            "quality_test.num_samples": 10_000.0,
        }
        for place, accuracy in enumerate(accuracies)
        for _ in range(num_runs)
    ]
    return pd.DataFrame(rows)


LATENCY, ACCURACY = "serving.latency_p90_ms", "quality_test.accuracy"


@pytest.mark.parametrize("num_runs", [1, 6])
def test_one_network_is_not_many_rivals_by_the_jitter_of_its_probe(num_runs: int) -> None:
    """Of 10,000 images, 0.9708 and 0.9710 are the same: the error of their difference is 0.0047.
    0.95 is another accuracy, at the same latency: dominated by all that are clearly better.
    """
    accuracies = [0.9708, 0.9709, 0.9710, 0.9705, 0.9712, 0.9600, 0.9500]
    runs = sweep_of_one_network(accuracies, num_runs)
    noise = noise_of(runs, LATENCY), noise_of(runs, ACCURACY)
    found = front_probability(runs, LATENCY, ACCURACY, ("min", "max"), noise=noise)
    assert found["on_front"].tolist() == [True] * 5 + [False, False]
    by_any_difference = front_probability(runs, LATENCY, ACCURACY, ("min", "max"))
    assert by_any_difference["on_front"].tolist() != found["on_front"].tolist()
    if num_runs == 6:
        assert found["front_probability"][:5].min() > 0.4
        assert found["front_probability"][6] == 0


def test_the_noise_of_a_metric_is_known() -> None:
    runs = sweep_of_one_network([0.9, 0.95])
    assert noise_of(runs, LATENCY).least_frac == 0.10
    assert noise_of(runs, "target.time_to_target_s").least_frac == 0.05
    assert noise_of(runs, "model.size_bytes").least_frac == 0
    nums = noise_of(runs, ACCURACY).num_samples
    assert nums is not None
    assert nums.tolist() == [10_000, 10_000]
    # 10% of less than six runs; what six runs show of themselves counts instead.
    slower = frame(a=[(1.0, 1)], b=[(1.08, 1)], c=[(1.3, 1)])
    ten = (Noise(least_frac=0.1), Noise())
    few = front_probability(slower, "x", "y", ("min", "max"), noise=ten)
    assert few["on_front"].tolist() == [True, True, False]
    many = pd.concat([slower] * 6)
    found = front_probability(many, "x", "y", ("min", "max"), noise=ten)
    assert found["on_front"].tolist() == [True, False, False]


def test_an_accuracy_of_an_unknown_split_has_no_sampling_error() -> None:
    runs = sweep_of_one_network([0.9708, 0.9709]).assign(**{"quality_test.num_samples": np.nan})
    runs[LATENCY] = 1.0
    noise = noise_of(runs, LATENCY), noise_of(runs, ACCURACY)
    found = front_probability(runs, LATENCY, ACCURACY, ("min", "max"), noise=noise)
    assert found["on_front"].tolist() == [False, True]
