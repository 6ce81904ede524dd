"""Trainings inside a longer measurement, on a simulated machine whose power is known."""

from __future__ import annotations

from typing import Any

import pytest

from bench.core.records.phases import MAINTENANCE_PHASES
from bench.core.target import Target
from bench.measure.meters.base import MeterUnavailable, Reading
from bench.measure.nested import NestedWindow
from bench.measure.target_measurement import Seen, TargetMeasurement
from bench.measure.window import Window
from tests.fakes import FunctionMeter, PoweredClock, ScriptedMeter
from tests.opened import open_for_test

TARGET = Target(metric="accuracy", value=0.9, mode="max", rule="first", consecutive=2)


def outer_window(clock: PoweredClock, **meter: Any) -> Window:
    """The window of a deployment, open; its counter is exact and errs by up to 1 J at its edges."""
    counter = FunctionMeter(lambda: clock.joules, **{"edge_error_j": 1.0, **meter})
    window = Window(
        {"cpu": counter}, period_s=None, shared=True, clock=clock, phases=MAINTENANCE_PHASES
    )
    open_for_test(window)
    return window


def retrain(clock: PoweredClock, outer: Window, train_w: float) -> NestedWindow:
    """Set-up: 1 s at 20 W; then 3 s of training, an evaluation of 1 s at 40 W, 0.5 s at 2 W."""
    nested = NestedWindow(outer)
    clock.advance(1.0, watts=20.0)

    def write(_: object) -> None:
        clock.advance(0.5, watts=2.0)

    measurement = TargetMeasurement(target=TARGET, window=nested, on_row=write)
    measurement.start()
    clock.advance(3.0, watts=train_w)
    measurement.begin_evaluation()
    clock.advance(1.0, watts=40.0)
    measurement.seen = Seen(samples=100)
    measurement.keep_row(None, {"accuracy": 0.95})
    measurement.stop()
    assert measurement.reached
    assert measurement.rows[0].energy_total_j == 3.0 * train_w + 40.0
    return nested


def test_each_nested_window_has_the_joules_of_its_own_time() -> None:
    clock = PoweredClock()
    outer = outer_window(clock)
    outer.start()
    trained: list[NestedWindow] = []
    for train_w in (100.0, 50.0):
        clock.advance(10.0)  # serving, at 10 W
        outer.phases.switch("retrain")
        clock.advance(2.0)  # choosing samples
        trained.append(retrain(clock, outer, train_w))
        outer.phases.switch("serve")
    clock.advance(1.0)
    outer.stop()

    first, second = trained
    # 100 W or 50 W for 3 s, 40 W for 1 s, 2 W for half a second; and before that 20 W for 1 s.
    assert (first.energy_j, second.energy_j) == (341.0, 191.0)
    assert (first.total_energy.total_j, second.total_energy.total_j) == (361.0, 211.0)
    assert first.energy_label == "counter"
    assert first.energy_error_frac == pytest.approx(1.0 / 341.0)
    assert [(one.init_s, one.time_s, one.total_s) for one in trained] == [(1.0, 4.5, 5.5)] * 2
    energy = first.phases.result
    assert energy is not None
    assert (energy.init_j, energy.train_j, energy.eval_j) == (20.0, 300.0, 40.0)
    assert energy.checkpoint_j == 1.0

    of_run = outer.phases.result
    assert of_run is not None
    # Choosing samples took 10 W for 2 s, twice.
    assert of_run.retrain_j == 361.0 + 211.0 + 2 * 20.0
    assert outer.clock.reading().of("retrain") == 2 * 5.5 + 2 * 2.0
    assert of_run.serve_j == 210.0
    assert outer.energy_j == 612.0 + 210.0


def test_joules_so_far_are_those_of_the_nested_window_alone() -> None:
    clock = PoweredClock()
    outer = outer_window(clock)
    outer.start()
    clock.advance(10.0)
    nested = NestedWindow(outer)
    nested.start()
    clock.advance(2.0)
    assert nested.read().total_j == 20.0
    assert outer.read().total_j == 120.0
    assert nested.energy_j is None  # not before stop()


def test_a_meter_that_fails_leaves_a_nested_window_without_joules() -> None:
    clock = PoweredClock()
    # Read at the opening and the end of set-up and at the start, and four times from NestedWindow()
    # to its start.
    meter = ScriptedMeter([*map(float, range(7)), MeterUnavailable("lost")])
    outer = Window({"cpu": meter}, period_s=None, shared=True, clock=clock)
    open_for_test(outer)
    outer.start()
    nested = NestedWindow(outer)
    nested.start()
    clock.advance(1.0)
    nested.stop()
    assert (nested.energy_j, nested.total_energy.total_j, nested.phases.result) == (None,) * 3
    assert nested.time_s == 1.0
    assert "failed while measuring: lost" in [one.reason for one in nested.unavailable]
    assert not nested.meters.complete


def test_its_flags_are_those_of_the_run_each_once() -> None:
    outer = outer_window(PoweredClock())
    outer.start()
    for _ in range(2):
        NestedWindow(outer).flag("compiled")
    outer.stop()
    assert outer.health is not None
    assert outer.health.flags.count("compiled") == 1
    assert not outer.health.comparable


@pytest.mark.parametrize(("missed_j", "expected"), [(0.0, (341.0, 361.0)), (1.0, (None, None))])
def test_before_the_clock_of_the_outer_window_joules_may_go_unseen(
    missed_j: float, expected: tuple[float | None, float | None]
) -> None:
    clock = PoweredClock()
    counter = FunctionMeter(lambda: Reading(clock.joules, missed_j=missed_j * clock()))
    outer = Window({"cpu": counter}, period_s=None, shared=True, clock=clock)
    open_for_test(outer)
    nested = retrain(clock, outer, 100.0)
    assert (nested.energy_j, nested.total_energy.total_j) == expected
    assert (nested.phases.result is None) == (expected[0] is None)
    assert nested.total_s == 5.5


def test_a_nested_window_measures_once() -> None:
    outer = outer_window(PoweredClock())
    outer.start()
    nested = NestedWindow(outer)
    nested.stop()  # without a start, this changes nothing
    with pytest.raises(RuntimeError, match="has not been started"):
        _ = nested.total_s
    nested.start()
    with pytest.raises(RuntimeError, match="started before"):
        nested.start()


def test_a_lost_device_leaves_what_was_measured() -> None:
    clock = PoweredClock()
    outer = outer_window(clock)
    outer.start()
    nested = NestedWindow(outer)
    nested.start()
    clock.advance(2.0)

    def lost() -> None:
        raise RuntimeError("device lost")

    nested.synchronize = lost
    with pytest.raises(RuntimeError, match="device lost"):
        nested.stop()
    assert nested.energy_j == 20.0
    outer.stop()  # its own synchronisation is untouched
