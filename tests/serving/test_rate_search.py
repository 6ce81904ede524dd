from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.serving.rate_search import search_rate


def tried(capacity_per_s: float, start_per_s: float, num_steps: int) -> tuple[list[float], float]:
    rates: list[float] = []

    def holds(rate_per_s: float) -> bool:
        rates.append(rate_per_s)
        return rate_per_s <= capacity_per_s

    return rates, search_rate(holds, start_per_s=start_per_s, num_steps=num_steps) or 0.0


def test_the_rate_is_doubled_until_it_misses_and_then_bisected() -> None:
    rates, found = tried(capacity_per_s=100.0, start_per_s=20.0, num_steps=6)
    # 20, 40 and 80 hold, 160 misses; the geometric mean of 80 and 160 is 113.1, of 80 and that 95.1
    assert rates == pytest.approx([20, 40, 80, 160, 80 * 2**0.5, 80 * 2**0.25])
    assert found == rates[-1]


def test_the_rate_is_halved_until_it_holds() -> None:
    rates, found = tried(capacity_per_s=100.0, start_per_s=640.0, num_steps=5)
    # 640, 320 and 160 miss, 80 holds; the mean of 80 and 160 misses
    assert rates == pytest.approx([640, 320, 160, 80, 80 * 2**0.5])
    assert found == 80


def test_none_is_found_where_no_rate_tried_holds() -> None:
    assert search_rate(lambda _: False, start_per_s=1.0, num_steps=3) is None


@given(
    capacity_per_s=st.floats(1.0, 1e6),
    distance=st.floats(-4.0, 4.0),
    bisections=st.integers(0, 8),
)
def test_k_bisections_leave_a_factor_of_two_to_the_two_to_the_minus_k(
    capacity_per_s: float, distance: float, bisections: int
) -> None:
    # From 2^distance times the capacity, at most six steps bracket it.
    num_steps = 6 + bisections
    _, found = tried(capacity_per_s, capacity_per_s * 2**distance, num_steps)
    assert found <= capacity_per_s
    assert capacity_per_s < found * 2 ** (2.0**-bisections) * (1 + 1e-9)


@pytest.mark.parametrize("start_per_s", [0.0, -1.0, float("inf"), float("nan")])
def test_a_start_that_is_no_rate_is_refused(start_per_s: float) -> None:
    with pytest.raises(ValueError, match="start_per_s"):
        search_rate(lambda _: True, start_per_s=start_per_s, num_steps=1)


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="num_steps=0"):
        search_rate(lambda _: True, start_per_s=1.0, num_steps=0)
