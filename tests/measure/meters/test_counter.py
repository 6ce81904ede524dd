from __future__ import annotations

import math
import random

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
    # 60 W would be 30 J, but the counter shows 45 J since it began anew; 50 J can have flowed. If
    # it began at 45 J and not at zero, nothing need have.
    assert reading == Reading(60.0 + 45.0, missed_j=45.0, resets=1)


def test_without_a_reading_before_a_reset_counts_what_is_shown() -> None:
    assert summed(None).advance(40.0, 1.0) == Reading(40.0, missed_j=60.0, resets=1)


def test_an_estimate_of_a_reset_says_how_far_it_may_be_off_on_both_sides() -> None:
    counter = summed(None)
    counter.advance(980.0, 1.0)  # 80 W
    # 80 J are taken; it was nothing at least and 100 J at most.
    assert counter.advance(10.0, 2.0) == Reading(160.0, missed_j=80.0, resets=1)


def test_a_reset_to_a_value_above_zero_is_estimated_and_all_of_it_is_in_doubt() -> None:
    counter = CounterSum(1000.0, 0.0, max_w=100.0, refresh_s=0.0, step_j=0.0)
    counter.advance(1010.0, 1.0)  # 10 W
    # 900 J cannot have flowed in a second: it began anew at some value, and 10 J are taken, of at
    # most 100.
    assert counter.advance(900.0, 2.0) == Reading(20.0, missed_j=90.0, resets=1)


def test_without_a_power_before_it_the_middle_of_what_can_have_flowed_is_taken() -> None:
    assert summed(None).advance(800.0, 1.0) == Reading(50.0, missed_j=50.0, resets=1)


@pytest.mark.parametrize("range_j", [None, 10_000.0])
def test_an_increase_beyond_what_can_have_flowed_is_a_failure_that_lasts(
    range_j: float | None,
) -> None:
    counter = summed(range_j)
    assert counter.advance(1000.0, 1.0).energy_j == 100.0  # 100 W for a second: just possible
    failed = counter.advance(1201.0, 3.0)
    assert math.isnan(failed.energy_j)
    assert failed.failure == "its counter rose by 201 J in 2 s, more than 100 W can explain"
    assert counter.advance(1210.0, 4.0).failure == failed.failure


def test_a_value_that_was_held_may_rise_by_all_that_flowed_since_it_was_taken() -> None:
    """A driver that is busy holds a value for longer than its refresh."""
    counter = CounterSum(900.0, 0.0, max_w=100.0, refresh_s=0.1, step_j=0.0)
    counter.advance(950.0, 1.0)
    counter.advance(950.0, 2.0)
    # It may have been refreshed right after the reading at 0 s: 300 J can have flowed since.
    assert counter.advance(1240.0, 3.0).energy_j == 340.0
    assert counter.advance(1365.0, 3.2).failure is None  # since 2 s at the earliest: 120 J + 10 J
    assert counter.advance(1410.0, 3.3).failure is not None  # since 3 s: 30 J + 10 J


def test_what_may_be_lost_while_a_value_is_held_for_long_is_in_the_bound() -> None:
    """50 W, and the counter stops for four seconds; whether it catches up or not."""
    for caught_up_j in (0.0, 200.0):
        counter = CounterSum(900.0, 0.0, max_w=100.0, refresh_s=0.1, step_j=0.0)
        counter.advance(950.0, 1.0)
        counter.advance(950.0, 1.5)  # held for five refreshes: usual beside a busy driver
        for now_s in (2.0, 3.0, 4.0):
            held = counter.advance(950.0, now_s)
        assert held == Reading(50.0, missed_j=150.0, gaps=3)
        after = counter.advance(950.0 + caught_up_j + 25.0, 5.5)
        assert after.missed_j == 225.0  # up to 75 J since the last reading
        assert abs(after.energy_j - 275.0) <= after.missed_j
        assert counter.advance(950.0 + caught_up_j + 50.0, 6.0).missed_j == 225.0


def test_a_value_that_was_held_from_the_start_may_hide_the_most_power() -> None:
    counter = CounterSum(900.0, 0.0, max_w=100.0, refresh_s=0.1, step_j=0.0)
    assert counter.advance(900.0, 2.0) == Reading(0.0, missed_j=200.0, gaps=1)


def test_time_for_a_whole_turn_is_a_gap() -> None:
    # In 25 s 2500 J can have flowed: 50 J, or one or two turns more.
    assert summed().advance(950.0, 25.0) == Reading(50.0, missed_j=2000.0, gaps=1)


def test_a_counter_that_does_not_wrap_has_no_gaps() -> None:
    assert summed(None).advance(950.0, 25.0) == Reading(50.0)


def test_the_edges_are_off_by_a_refresh_of_the_most_power_and_a_step() -> None:
    counter = CounterSum(0.0, 0.0, max_w=300.0, refresh_s=0.1, step_j=0.5)
    assert counter.edge_error_j == pytest.approx(30.5)


@pytest.mark.parametrize("range_j", [None, 262143.0])
@pytest.mark.parametrize("begins_at", ["zero", "below", "above"])
def test_the_truth_is_within_the_bound_through_any_reset_that_can_be_told(
    range_j: float | None, begins_at: str
) -> None:
    """Power of up to 400 W, read at random; the counter begins anew once, somewhere in between.

    Left out is what no reading can tell from an ordinary one: a counter that goes on just above
    where it was, or just past its range.
    """
    rng = random.Random(f"{range_j} {begins_at}")
    max_w, num_resets, num_failed = 400.0, 0, 0
    for _ in range(500):
        now_s = true_j = 0.0
        shown_j = rng.uniform(5e3, 1e5)
        counter = CounterSum(
            shown_j, 0.0, max_w=max_w, refresh_s=0.001, step_j=1e-4, range_j=range_j
        )
        reset_at, watts = rng.randrange(1, 6), rng.uniform(1.0, max_w)
        for step in range(8):
            length_s = rng.choice([0.1, 0.5, 1.0])
            if step == reset_at:
                before_j, after_s = shown_j, rng.uniform(0.0, length_s)
                shown_j = {
                    "zero": 0.0,
                    "below": rng.uniform(0.0, 0.9) * shown_j,
                    "above": shown_j * rng.uniform(1.2, 2.0),
                }[begins_at]
                shown_j += watts * after_s
                if abs(shown_j - before_j) < 1000.0:
                    break  # too near to where it was to be told from going on
            else:
                shown_j += watts * length_s
            true_j += watts * length_s
            now_s += length_s
            reading = counter.advance(shown_j, now_s)
            if reading.failure is not None:
                num_failed += 1
                break
            doubt_j = reading.missed_j + counter.edge_error_j + 1e-6
            assert abs(reading.energy_j - true_j) <= doubt_j
        num_resets += reading.resets
    assert num_resets + num_failed > 450
    assert (num_failed > 0) == (begins_at == "above")
