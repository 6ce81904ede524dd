from __future__ import annotations

import os
import time
from unittest import mock

import pytest

from bench.measure.gpu import Gpu
from bench.measure.meters.base import Meter, MeterUnavailable
from bench.measure.meters.nvml import NvmlMeter
from bench.measure.window import Window
from tests.fake_nvml import FakeGpu, FakeNvml, install
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


def test_a_device_that_is_lost_keeps_what_was_spent_until_then() -> None:
    clock = FakeClock()
    meter = ten_watts(clock)
    window = Window({"meter": meter}, clock=clock)

    def lost() -> None:
        raise RuntimeError("device-side assert")

    def runs() -> None:
        with window:
            clock.advance(2.0)
            window.synchronize = lost

    with pytest.raises(RuntimeError, match="device-side assert"):
        runs()
    assert (window.time_s, window.energy_j) == (2.0, 20.0)
    assert window.health is not None
    assert meter.closed


def test_ctrl_c_while_the_idle_machine_is_measured_adds_nothing_to_the_run() -> None:
    clock = FakeClock()

    def sleep(seconds: float) -> None:
        if clock() > 0:  # the second time, after the run
            raise KeyboardInterrupt

    window = Window({"meter": ten_watts(clock)}, clock=clock, idle_s=2.0, sleep=sleep)

    def runs() -> None:
        with window:
            clock.advance(3.0)

    with pytest.raises(KeyboardInterrupt):
        runs()
    clock.advance(100.0)
    window.stop()
    assert (window.time_s, window.energy_j, window.idle) == (3.0, 30.0, None)
    assert window.utilization is not None
    assert window.record_fields()["energy_total_j"] == 30.0


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
    with pytest.raises(RuntimeError, match="a Window measures once: make a new one"):
        window.open()


def test_a_counter_that_stood_still_for_the_whole_clock_has_failed() -> None:
    clock = FakeClock()
    meters = {"meter": ten_watts(clock), "own": FunctionMeter(lambda: 7.0, component="dram")}
    with Window(meters, clock=clock, period_s=None, gpus=[]) as window:
        clock.advance(3.0)
    assert (window.energy_j, window.phases.result) == (None, None)
    assert window.health is not None
    assert "meter_failed" in window.health.flags
    assert [row.component for row in window.energy.rows] == ["cpu"]
    reasons = [one.reason for one in window.unavailable if one.meter == "own"]
    assert reasons == ["failed while measuring: dram: its counter has not moved for 3 s"]


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


def test_heat_the_power_brake_and_strangers_on_a_gpu_are_flagged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpu = FakeGpu("GPU-a", energy_j=lambda: 0.0, reasons=0, pids=[os.getpid()])
    install(monkeypatch, FakeNvml([gpu]))
    hot = 0x40 | 0x80
    lists = mock.Mock(side_effect=Gpu.compute_pids)
    monkeypatch.setattr(Gpu, "compute_pids", lambda card: lists(card))
    with Window({}, period_s=0.01) as window:
        gpu.reasons, gpu.pids = hot, [os.getpid(), 1]
        wait_for_ticks(window, 20)
    assert window.health is not None
    assert {"gpu_thermal", "gpu_power_brake", "foreign_gpu_process"} <= set(window.health.flags)
    assert not window.health.comparable
    assert lists.call_count == 3  # when it is opened and at both edges: no tick lists any
    # The record is put together once all is closed, and names the card.
    assert [device["name"] for device in window.devices] == ["Fake RTX"]


def test_a_gpu_at_its_power_cap_is_comparable_and_the_share_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a", reasons=0x4, pids=[])]))
    with Window({}, period_s=0.01) as window:
        wait_for_ticks(window, 5)
    assert window.health is not None
    # Nothing measures its joules here, which says nothing of its time.
    assert [flag for flag in window.health.flags if "gpu" in flag] == ["gpu_energy_missing"]
    assert window.utilization is not None
    assert window.utilization.gpu_power_cap_frac == 1.0


def test_a_gpu_lost_in_the_middle_leaves_the_other_components_and_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    clock = FakeClock()
    gpu = FakeGpu("GPU-a", energy_j=lambda: 300.0 * clock(), limit_w=400.0)
    install(monkeypatch, FakeNvml([gpu]))
    meters: dict[str, Meter] = {
        "nvml": NvmlMeter(clock=clock, sleep=clock.advance),
        "cpu": FunctionMeter(lambda: 10.0 * clock()),
    }
    with Window(meters, clock=clock) as window:
        clock.advance(3.0)
        gpu.lost = True
    assert window.time_s == 3.0
    assert window.energy_j is None  # a total without the card would look like a saving
    (row,) = window.energy.rows
    assert row.component == "cpu"
    assert row.energy_j == pytest.approx(30.0)
    (lost,) = (one for one in window.unavailable if one.meter == "nvml")
    assert "gpu0" in lost.reason


def test_a_query_that_fails_in_the_middle_is_flagged_and_leaves_the_other_cards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus = [FakeGpu("GPU-a"), FakeGpu("GPU-b")]
    install(monkeypatch, FakeNvml(gpus))
    with Window({}, period_s=0.01) as window:
        wait_for_ticks(window, 2)
        gpus[0].lost = True
        wait_for_ticks(window, num_ticks_of(window) + 3)
    assert window.health is not None
    assert "sampler_failed" in window.health.flags
    last_s = {row.device: row.t_s for row in window.telemetry() if row.metric == "gpu_busy_frac"}
    assert last_s["gpu1"] > last_s["gpu0"]


def test_use_of_the_cpus_is_never_above_one() -> None:
    """The first sample was, where the interpreter was held while the run began."""
    with Window({}, period_s=0.02, gpus=[]) as window:
        _ = 3**300_000  # one call in C that lets no other thread run
        wait_for_ticks(window, 12)
    shares = [row.value for row in window.telemetry() if row.metric.endswith("cpu_busy_frac")]
    assert shares
    assert all(0 <= share <= 1 for share in shares)
    assert window.utilization is not None
    for share in (window.utilization.cpu_process_frac, window.utilization.cpu_machine_frac):
        assert share is not None
        assert 0 <= share <= 1


@pytest.mark.parametrize(("made_for", "devices"), [(None, ["GPU-b"]), (["GPU-a"], ["GPU-a"])])
def test_gpus_are_named_later_unless_the_window_was_made_for_some(
    made_for: list[str] | None, devices: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a"), FakeGpu("GPU-b")]))
    window = Window({}, gpus=made_for)
    window.use_gpus(["b"])  # as CUDA names it
    window.open()
    assert [device["uuid"] for device in window.devices] == devices
    window.close()


def test_a_flag_is_added_until_the_window_is_concluded() -> None:
    window = Window({}, gpus=[])
    window.open()
    window.flag("compiled_on_the_clock")
    window.start()
    window.flag("compiled_on_the_clock")
    window.stop()
    window.close()
    assert window.health is not None
    assert window.health.flags.count("compiled_on_the_clock") == 1
    assert not window.health.comparable
    with pytest.raises(RuntimeError, match="flag late: the window has been concluded"):
        window.flag("late")


def num_ticks_of(window: Window) -> int:
    return len({row.t_s for row in window.telemetry() if row.t_s > 0})


def wait_for_ticks(window: Window, num_ticks: int) -> None:
    """Wait until the sampler's thread has looked so often on the clock."""
    deadline_s = time.monotonic() + 20.0
    while num_ticks_of(window) < num_ticks:
        assert time.monotonic() < deadline_s, "the sampler does not tick"
        time.sleep(0.005)
