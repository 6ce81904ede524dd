from __future__ import annotations

import random
from typing import get_args

import pytest

from bench.measure.clock import Phase, PhaseClock
from tests.fakes import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now_s=1000.0)


def test_each_second_is_booked_on_the_phase_that_was_current(clock: FakeClock) -> None:
    phases = PhaseClock(clock)
    phases.start()
    clock.advance(4.0)
    phases.switch("eval")
    clock.advance(2.0)
    phases.switch("checkpoint")
    clock.advance(1.0)
    phases.switch("train")
    clock.advance(8.0)
    times = phases.reading()
    assert (times.train_s, times.eval_s, times.checkpoint_s) == (12.0, 2.0, 1.0)
    assert times.total_s == 15.0
    assert phases.elapsed_s() == 15.0
    assert phases.started_s == 1000.0


def test_phases_sum_to_the_total_to_the_last_bit(clock: FakeClock) -> None:
    rng = random.Random(0)
    phases = PhaseClock(clock)
    phases.start("eval")
    for _ in range(1000):
        clock.advance(rng.random() / 7)
        phases.switch(rng.choice(get_args(Phase)))
    times = phases.reading()
    assert times.train_s + times.eval_s + times.checkpoint_s == times.total_s
    assert times.total_s == pytest.approx(clock.now_s - 1000.0)


def test_it_never_pauses_between_readings(clock: FakeClock) -> None:
    phases = PhaseClock(clock)
    phases.start()
    clock.advance(1.0)
    phases.reading()
    clock.advance(1.0)
    assert phases.reading().total_s == 2.0


def test_a_stopped_clock_stays_stopped(clock: FakeClock) -> None:
    phases = PhaseClock(clock)
    phases.start()
    clock.advance(3.0)
    times = phases.stop()
    clock.advance(5.0)
    phases.switch("eval")
    assert phases.stop() == phases.reading() == times
    assert phases.elapsed_s() == 3.0


def test_a_clock_starts_once(clock: FakeClock) -> None:
    phases = PhaseClock(clock)
    for read in (phases.reading, phases.elapsed_s, phases.stop):
        with pytest.raises(RuntimeError, match="has not been started"):
            read()
    phases.start()
    with pytest.raises(RuntimeError, match="started before"):
        phases.start()
