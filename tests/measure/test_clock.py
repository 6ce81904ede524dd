from __future__ import annotations

import functools
import operator
import random

import pytest

from bench.core.records.phases import MAINTENANCE_PHASES, TRAINING_PHASES, Phase
from bench.measure.clock import PhaseClock, PhaseTimes
from tests.fakes import FakeClock

AT_START = dict.fromkeys(MAINTENANCE_PHASES, 0.0)


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
    assert times.by_phase_s == {"train": 12.0, "eval": 2.0, "checkpoint": 1.0}
    assert times.of("train") == 12.0
    assert times.total_s == 15.0
    assert phases.elapsed_s() == 15.0
    assert phases.started_s == 1000.0


@pytest.mark.parametrize("names", [TRAINING_PHASES, MAINTENANCE_PHASES])
def test_phases_sum_to_the_total_to_the_last_bit(
    clock: FakeClock, names: tuple[Phase, ...]
) -> None:
    rng = random.Random(0)
    phases = PhaseClock(clock, names)
    phases.start(names[1])
    for _ in range(1000):
        clock.advance(rng.random() / 7)
        phases.switch(rng.choice(names))
    times = phases.reading()
    # One addition after another, in the order of the phases.
    assert functools.reduce(operator.add, [times.of(name) for name in names]) == times.total_s
    assert times.total_s == pytest.approx(clock.now_s - 1000.0)


def test_it_starts_in_its_first_phase_and_knows_no_others(clock: FakeClock) -> None:
    phases = PhaseClock(clock, MAINTENANCE_PHASES)
    with pytest.raises(ValueError, match="phase train: this clock has only serve, detect, decide"):
        phases.start("train")
    assert not phases.started
    phases.start()
    clock.advance(2.0)
    with pytest.raises(ValueError, match="phase eval: this clock has only serve"):
        phases.switch("eval")
    assert phases.phase == "serve"
    clock.advance(1.0)
    assert phases.switch("retrain") == PhaseTimes(3.0, {**AT_START, "serve": 3.0})


def test_a_reading_does_not_change_afterwards(clock: FakeClock) -> None:
    phases = PhaseClock(clock)
    phases.start()
    at_start = phases.reading()
    clock.advance(1.0)
    phases.reading()
    assert at_start == PhaseTimes.at_start(TRAINING_PHASES)


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
