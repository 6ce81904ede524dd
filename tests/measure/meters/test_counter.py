from __future__ import annotations

import pytest

from bench.measure.meters.base import Reading
from bench.measure.meters.counter import CounterSum


def summed(range_j: float | None = 1000.0) -> CounterSum:
    """At 900 J at second 0; no more than 100 W flow, and the edges are off by nothing."""
    return CounterSum(900.0, 0.0, max_w=100.0, refresh_s=0.0, step_j=0.0, range_j=range_j)


def test_differences_are_summed() -> None:
    counter = summed()
    assert counter.advance(930.0, 1.0) == Reading(30.0)
    assert counter.advance(960.0, 2.0) == Reading(60.0)


def test_a_decrease_that_a_wrap_explains_is_one() -> None:
    # From 900 over 1000 to 50 are 150 J, and 200 J can have flowed.
    assert summed().advance(50.0, 2.0) == Reading(150.0)


def test_any_other_decrease_is_a_reset_that_is_estimated_from_the_power_before() -> None:
    counter = summed()
    counter.advance(960.0, 1.0)  # 60 W
    # A wrap would be 45 J + 1000 J - 960 J = 85 J in half a second, in which 50 J can flow.
    reading = counter.advance(45.0, 1.5)
    # 60 W would be 30 J, but the counter shows 45 J since it began anew; 50 J can have flowed.
    assert reading == Reading(60.0 + 45.0, missed_j=5.0, resets=1)


def test_without_a_reading_before_a_reset_counts_what_is_shown() -> None:
    assert summed(None).advance(40.0, 1.0) == Reading(40.0, missed_j=60.0, resets=1)


def test_an_estimate_of_a_reset_says_how_far_it_may_be_off_on_both_sides() -> None:
    counter = summed(None)
    counter.advance(980.0, 1.0)  # 80 W
    # 80 J are taken; it was 10 J at least (shown) and 100 J at most (possible).
    assert counter.advance(10.0, 2.0) == Reading(160.0, missed_j=70.0, resets=1)


def test_time_for_a_whole_turn_is_a_gap() -> None:
    # In 25 s 2500 J can have flowed: 50 J, or one or two turns more.
    assert summed().advance(950.0, 25.0) == Reading(50.0, missed_j=2000.0, gaps=1)


def test_a_counter_that_does_not_wrap_has_no_gaps() -> None:
    assert summed(None).advance(950.0, 25.0) == Reading(50.0)


def test_the_edges_are_off_by_a_refresh_of_the_most_power_and_a_step() -> None:
    counter = CounterSum(0.0, 0.0, max_w=300.0, refresh_s=0.1, step_j=0.5)
    assert counter.edge_error_j == pytest.approx(30.5)
