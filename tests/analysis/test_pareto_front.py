from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pareto import Better, front_probability, pareto_front

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


def test_what_is_missing_or_never_got_there_is_not_on_the_front() -> None:
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
    """b has runs at (0, 0) and (2, 2): its resampled median is (0, 0) in 1/4, where it beats a,
    (1, 1) in 1/2, where both are on the front, and (2, 2) in 1/4, where a beats it: 3/4 each.
    """
    found = front_probability(
        frame(a=[(1, 1)], b=[(0, 0), (2, 2)], c=[(9, 9)]),
        "x",
        "y",
        ("min", "min"),
        num_resamples=8000,
    ).set_index("configuration")
    assert found["front_probability"].to_dict() == pytest.approx(
        {"a": 0.75, "b": 0.75, "c": 0.0}, abs=0.02
    )
    assert found["on_front"].to_dict() == {"a": True, "b": True, "c": False}
    assert found["num"].to_dict() == {"a": 1, "b": 2, "c": 1}


def test_misses_count_as_the_worst_and_missing_is_counted() -> None:
    runs = frame(hits=[(1, 0.9), (2, 0.9), (3, 0.9)], mixed=[(1, 0.95), (1, 0.95), (1, 0.95)])
    missed = pd.Series([False] * 3 + [True, True, False])
    found = front_probability(runs, "x", "y", ("min", "max"), missed=missed)
    found = found.set_index("configuration")
    assert found["on_front"].to_dict() == {"hits": True, "mixed": False}
    assert pd.isna(found["x"]["mixed"])
    # Two or three hits of three draws, p = 1/3: 7/27 of the medians are hits.
    assert found.loc["mixed", "front_probability"] == pytest.approx(7 / 27, abs=0.05)
    runs.loc[0, "y"] = NAN
    again = front_probability(runs, "x", "y", ("min", "max")).set_index("configuration")
    assert again.loc["hits", "num_missing"] == 1
    assert again.loc["hits", "x"] == 2.5


def test_a_configuration_without_values_is_listed_and_never_on_the_front() -> None:
    found = front_probability(frame(a=[(NAN, 1)], b=[(1, 1)]), "x", "y", ("min", "min"))
    assert found["on_front"].tolist() == [False, True]
    assert found["front_probability"].tolist() == [0.0, 1.0]
    assert found["num_missing"].tolist() == [1, 0]
