from __future__ import annotations

import pytest

from bench.measure.meters.base import MeterUnavailable
from bench.measure.window import Window
from tests.fakes import FakeClock, FunctionMeter, ScriptedMeter


def ten_watts(clock: FakeClock) -> FunctionMeter:
    return FunctionMeter(lambda: 10.0 * clock(), error_frac=0.05)


def test_a_window_measures_what_runs_inside_it() -> None:
    clock = FakeClock()
    meter = ten_watts(clock)
    clock.advance(100.0)
    with Window({"meter": meter}, clock=clock) as window:
        clock.advance(3.0)
    clock.advance(100.0)
    assert window.time_s == 3.0
    assert (window.energy_j, window.energy_label) == (30.0, "counter")
    assert window.energy_error_frac == pytest.approx(0.05)
    assert window.utilization is not None
    assert window.utilization.memory_peak_bytes is not None
    assert window.health is not None
    assert meter.closed


def test_what_was_measured_before_an_exception_is_kept() -> None:
    clock = FakeClock()
    window = Window({"meter": ten_watts(clock)}, clock=clock)

    def fails() -> None:
        with window:
            clock.advance(2.0)
            raise RuntimeError("the work failed")

    with pytest.raises(RuntimeError, match="the work failed"):
        fails()
    assert (window.time_s, window.energy_j) == (2.0, 20.0)


def test_the_device_is_waited_for_at_both_edges() -> None:
    clock = FakeClock()
    # Work that was queued before, and work that was queued inside, take five seconds each.
    with Window(
        {"meter": ten_watts(clock)}, clock=clock, synchronize=lambda: clock.advance(5.0)
    ) as window:
        clock.advance(1.0)
    assert (window.time_s, window.energy_j) == (6.0, 60.0)


def test_idle_power_is_measured_on_both_sides_and_net_energy_given() -> None:
    clock = FakeClock()
    # 10 W always, and 90 W more in the three seconds from 102 to 105 s.
    meter = FunctionMeter(lambda: 10.0 * clock() + 90.0 * min(max(clock() - 102.0, 0.0), 3.0))
    clock.advance(100.0)
    with Window({"meter": meter}, clock=clock, idle_s=2.0, sleep=clock.advance) as window:
        clock.advance(3.0)
    assert window.energy_j == pytest.approx(300.0)  # gross stays the headline
    assert window.idle is not None
    assert (window.idle.before_w, window.idle.after_w) == pytest.approx((10.0, 10.0))
    assert window.idle.net_energy_j == pytest.approx(270.0)


def test_a_meter_that_is_missing_is_listed_or_refused() -> None:
    def absent() -> ScriptedMeter:
        return ScriptedMeter([], open_error=MeterUnavailable("no counter"))

    with Window({"rapl": absent()}) as window:
        pass
    assert window.energy_j is None
    assert ("rapl", "no counter") in [(one.meter, one.reason) for one in window.unavailable]
    with (
        pytest.raises(MeterUnavailable, match="rapl: no counter"),
        Window({"rapl": absent()}, required=True),
    ):
        pass


def test_stopping_twice_changes_nothing_and_a_window_is_used_once() -> None:
    clock = FakeClock()
    with Window({"meter": ten_watts(clock)}, clock=clock) as window:
        clock.advance(1.0)
    window.stop()
    assert window.energy_j == 10.0
    with pytest.raises(RuntimeError, match="started before"):
        window.start()


def test_the_default_meters_measure_this_machine() -> None:
    with Window(period_s=0.05) as window:
        sum(range(5_000_000))
    assert window.time_s > 0
    assert window.energy_j is not None
    assert window.energy_j >= 0
    assert window.energy_label is not None
    fields = window.record_fields()
    assert fields["energy_total_j"] == window.energy_j
    assert (
        fields["energy"][0].energy_error_frac is None or fields["energy"][0].energy_error_frac > 0
    )
