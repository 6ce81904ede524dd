"""The search against systems of a known capacity, quiet and noisy, without a load generator."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.serving.rate_search import FULL_PASSES, Bracket, RateLimits, search_rate

ROUNDING = 1e-9


class Tried:
    """A system of which quick and full passes may hold different rates; notes what was tried."""

    def __init__(
        self, quick: Callable[[float], bool], full: Callable[[float], bool] | None = None
    ) -> None:
        self._holds = {"quick": quick, "full": full or quick}
        self.rates: dict[str, list[float]] = {"quick": [], "full": []}
        self.held: list[float] = []  # in full passes
        self.failed: list[float] = []

    def _try(self, kind: str, rate_per_s: float) -> bool:
        self.rates[kind].append(rate_per_s)
        held = self._holds[kind](rate_per_s)
        if not held:
            self.failed.append(rate_per_s)
        elif kind == "full":
            self.held.append(rate_per_s)
        return held

    def quick(self, rate_per_s: float) -> bool:
        return self._try("quick", rate_per_s)

    def full(self, rate_per_s: float) -> bool:
        return self._try("full", rate_per_s)

    def search(
        self, start_per_s: float, num_steps: int, *, down: float = 1e4, up: float = 1e4
    ) -> Bracket:
        limits = RateLimits(
            start_per_s=start_per_s,
            lowest_per_s=start_per_s / down,
            highest_per_s=start_per_s * up,
        )
        return search_rate(self.quick, self.full, limits, num_steps=num_steps)


def up_to(capacity_per_s: float) -> Callable[[float], bool]:
    return lambda rate_per_s: rate_per_s <= capacity_per_s


def test_the_rate_is_doubled_until_it_fails_bisected_and_both_ends_are_confirmed() -> None:
    tried = Tried(up_to(100.0))
    found = tried.search(20.0, 6)
    # 20, 40 and 80 hold, 160 fails; the geometric mean of 80 and 160 is 113.1, of 80 and that 95.1
    low, high = 80 * 2**0.25, 80 * 2**0.5
    assert tried.rates["quick"] == pytest.approx([20, 40, 80, 160, high, low])
    assert tried.rates["full"] == pytest.approx([low, high])
    assert (found.held_per_s, found.failed_per_s) == pytest.approx((low, high))


def test_the_rate_is_halved_until_it_holds() -> None:
    tried = Tried(up_to(100.0))
    found = tried.search(640.0, 5)
    # 640, 320 and 160 fail, 80 holds; the mean of 80 and 160 fails
    assert tried.rates["quick"] == pytest.approx([640, 320, 160, 80, 80 * 2**0.5])
    assert (found.held_per_s, found.failed_per_s) == pytest.approx((80, 80 * 2**0.5))


def test_steps_without_a_failure_are_followed_by_more_until_there_is_one() -> None:
    tried = Tried(up_to(1000.0))
    found = tried.search(20.0, 1)
    assert tried.rates["quick"] == [20, 40, 80, 160, 320, 640, 1280]
    assert (found.held_per_s, found.failed_per_s) == (640, 1280)  # one step asks for no more


def test_a_rate_that_full_passes_do_not_hold_is_left_by_growing_steps() -> None:
    tried = Tried(up_to(1000.0), up_to(300.0))
    found = tried.search(500.0, 12)
    # Quick passes end just below 1000. In full length, the steps down are 1.05, its square, and so
    # on, until 300 is passed; then bisection, to a bracket of 5%.
    full = tried.rates["full"]
    ratios = [above / below for above, below in itertools.pairwise(full)]
    assert ratios[:5] == pytest.approx([1.05**2**k for k in range(5)])
    assert found.held_per_s is not None
    assert found.failed_per_s is not None
    assert found.held_per_s <= 300 < found.failed_per_s <= found.held_per_s * 1.05 * (1 + ROUNDING)


def test_a_failure_by_accident_does_not_hide_the_rates_above_it() -> None:
    accidents = iter([False])

    def disturbed(rate_per_s: float) -> bool:
        return next(accidents, rate_per_s <= 1000)

    tried = Tried(disturbed, up_to(1000.0))
    found = tried.search(500.0, 8)
    # The very first quick pass, at 500, was disturbed: quick passes end just below 500. In full
    # length 500 holds, and the search goes on above it.
    assert max(tried.rates["quick"]) == 500
    assert found.held_per_s is not None
    assert found.failed_per_s is not None
    assert found.held_per_s <= 1000 < found.failed_per_s <= found.held_per_s * 1.1


def test_where_no_rate_holds_the_smallest_tried_is_the_one_that_failed() -> None:
    tried = Tried(lambda _: False)
    found = tried.search(64.0, 3, down=16)
    assert tried.rates["quick"] == [64, 32, 16, 8, 4]
    assert tried.rates["full"] == [4]
    assert (found.held_per_s, found.failed_per_s) == (None, 4)


def test_a_search_that_may_not_go_down_tries_the_start_alone() -> None:
    tried = Tried(lambda _: False)
    found = tried.search(64.0, 8, down=1)
    assert tried.rates == {"quick": [64], "full": [64]}
    assert (found.held_per_s, found.failed_per_s) == (None, 64)


def test_the_lowest_rate_is_tried_before_the_search_gives_up() -> None:
    tried = Tried(up_to(1000.0), up_to(3.0))
    found = tried.search(500.0, 8, down=200)
    assert min(tried.rates["full"]) == 2.5  # 500 / 200
    assert found.held_per_s is not None
    assert found.failed_per_s is not None
    assert found.held_per_s <= 3 < found.failed_per_s


def test_if_every_rate_holds_there_is_no_upper_end() -> None:
    tried = Tried(lambda _: True)
    found = tried.search(1.0, 3, up=100)
    assert max(tried.rates["full"]) == 100
    assert (found.held_per_s, found.failed_per_s) == (100, None)
    assert found.ratio is None
    with pytest.raises(ValueError, match="no middle"):
        _ = found.middle_per_s


@given(
    capacity_per_s=st.floats(1.0, 1e6),
    distance=st.floats(-4.0, 4.0),
    bisections=st.integers(0, 8),
)
def test_k_bisections_leave_a_factor_of_two_to_the_two_to_the_minus_k(
    capacity_per_s: float, distance: float, bisections: int
) -> None:
    # From 2^distance times the capacity, at most six steps bracket it.
    tried = Tried(up_to(capacity_per_s))
    found = tried.search(capacity_per_s * 2**distance, 6 + bisections)
    assert found.held_per_s is not None
    assert found.failed_per_s is not None
    assert found.held_per_s <= capacity_per_s < found.failed_per_s
    factor = max(1.05, 2 ** (2.0**-bisections))
    assert found.failed_per_s <= found.held_per_s * factor * (1 + ROUNDING)
    assert len(tried.rates["full"]) == 2


@given(
    capacity_per_s=st.floats(1.0, 1e6),
    distance=st.floats(-3.0, 6.0),
    noise_frac=st.floats(0.0, 0.4),
    seed=st.integers(0, 10**6),
)
def test_the_bracket_of_a_noisy_system_is_made_of_what_was_seen(
    capacity_per_s: float, distance: float, noise_frac: float, seed: int
) -> None:
    """A share of all passes fails whatever the rate."""
    rng = random.Random(seed)
    tried = Tried(lambda rate: rate <= capacity_per_s and rng.random() >= noise_frac)
    found = tried.search(capacity_per_s * 2**distance, 8)
    assert found.failed_per_s is not None
    if found.held_per_s is None:
        assert not tried.held
        assert found.failed_per_s == min(tried.failed)
    else:
        assert found.held_per_s == max(tried.held) <= capacity_per_s
        above = [rate for rate in tried.failed if rate > found.held_per_s]
        assert found.failed_per_s == min(above)
    # Two gallops of eight steps at most come on top where nothing held, or nothing failed.
    assert len(tried.rates["full"]) <= FULL_PASSES + 16


def test_one_pass_in_ten_disturbed_moves_the_largest_rate_little() -> None:
    # 400 searches. With a full pass at the lower end alone, the tenth part of them is below 560.
    rng = random.Random(0)
    found = []
    for _ in range(400):
        tried = Tried(lambda rate: rate <= 1000 and rng.random() >= 0.1)
        found.append(tried.search(1000 * 2 ** rng.uniform(-3, 2), 8).held_per_s or 0.0)
    found.sort()
    assert found[40] > 800
    assert found[200] > 950
    assert found[-1] <= 1000


@pytest.mark.parametrize("start_per_s", [0.0, -1.0, float("inf"), float("nan")])
def test_a_search_refuses_a_start_that_is_not_positive(start_per_s: float) -> None:
    with pytest.raises(ValueError, match="start_per_s"):
        Tried(lambda _: True).search(start_per_s, 1)


def test_no_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="num_steps=0"):
        Tried(lambda _: True).search(1.0, 0)
