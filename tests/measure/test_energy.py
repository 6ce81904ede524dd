from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from bench.core.labels import EnergyLabel, weakest_label
from bench.measure.energy import EnergyWindow, WindowEnergy, idle_and_net
from bench.measure.meter_set import MeterSet
from bench.measure.meters.base import Meter, MeterUnavailable, Reading
from bench.measure.settle import GpuScope
from tests.fakes import FakeClock, FunctionMeter, ScriptedMeter


def opened(clock: FakeClock | None = None, **meters: Meter) -> MeterSet:
    meter_set = MeterSet(meters, clock=clock or FakeClock())
    meter_set.open()
    return meter_set


def started(meters: MeterSet) -> EnergyWindow:
    window = EnergyWindow(meters)
    window.start()
    return window


def test_the_total_is_the_sum_of_differences_from_the_baseline() -> None:
    window = started(
        opened(
            a=ScriptedMeter([5.0, 15.0, 25.0], component="cpu"),
            b=ScriptedMeter([1.0, 3.0, 4.0], component="gpu0", label="integrated"),
        )
    )
    assert window.read().total_j == 12.0  # (15 - 5) + (3 - 1)
    energy = window.read()
    assert energy.total_j == 23.0  # (25 - 5) + (4 - 1): cumulative, not since the last
    assert energy.label == "integrated"


def test_windows_on_the_same_meters_may_overlap() -> None:
    meters = opened(a=ScriptedMeter([0.0, 4.0, 10.0, 11.0]))
    first, second = started(meters), started(meters)
    assert first.read().total_j == 10.0
    assert second.read().total_j == 7.0  # 11 - 4


def test_constants_are_reported_but_not_summed() -> None:
    energy = started(
        opened(
            a=ScriptedMeter([0.0, 10.0], component="cpu", label="modelled"),
            b=ScriptedMeter([0.0, 20.0], component="ram", label="constant"),
        )
    ).read()
    assert (energy.total_j, energy.label) == (10.0, "modelled")
    assert [(row.component, row.energy_j) for row in energy.rows] == [("cpu", 10), ("ram", 20)]


def test_constants_alone_give_no_total() -> None:
    energy = started(opened(a=ScriptedMeter([0.0, 20.0], label="constant"))).read()
    assert (energy.total_j, energy.label, energy.error_frac) == (None, None, None)


def test_without_a_meter_there_is_no_total() -> None:
    assert started(opened()).read() == WindowEnergy(rows=[])


def test_a_meter_that_cannot_be_opened_is_listed_and_the_run_goes_on() -> None:
    meters = opened(
        rapl=ScriptedMeter([], open_error=MeterUnavailable("not readable: use sudo")),
        model=ScriptedMeter([0.0, 7.0]),
    )
    assert started(meters).read().total_j == 7.0
    [absent] = meters.unavailable
    assert (absent.meter, absent.reason) == ("rapl", "not readable: use sudo")


def test_a_meter_that_is_required_and_cannot_be_opened_is_an_error() -> None:
    first = ScriptedMeter([])
    broken = ScriptedMeter([], component="gpu0", open_error=OSError("no driver"))
    meters = MeterSet({"a": first, "nvml": broken}, required=True)
    with pytest.raises(MeterUnavailable, match="nvml: no driver"):
        meters.open()
    assert first.closed


@pytest.mark.parametrize("error", [OSError("gone"), MeterUnavailable("gone")])
def test_a_meter_that_fails_midway_takes_the_total_but_not_the_other_rows(
    error: Exception,
) -> None:
    lost = ScriptedMeter([0.0, 10.0, error], component="gpu0")
    meters = opened(gpu=lost, cpu=ScriptedMeter([0.0, 1.0, 2.0, 3.0]))
    window = started(meters)
    assert window.read().total_j == 11.0
    assert window.read().total_j is None
    energy = window.read()  # and it does not come back
    assert (energy.total_j, energy.label) == (None, None)
    assert [(row.component, row.energy_j) for row in energy.rows] == [("cpu", 3.0)]
    assert meters.unavailable[0].reason == "failed while measuring: gone"
    meters.close()
    assert lost.closed


def test_a_meter_that_fails_between_open_and_start_takes_the_total() -> None:
    """What is measured was settled when the meters were opened."""
    lost = ScriptedMeter([OSError("gone")], component="gpu0")
    meters = opened(gpu=lost, cpu=ScriptedMeter([0.0, 1.0]))
    window = started(meters)
    assert meters.unavailable[0].meter == "gpu"
    energy = window.read()
    assert (energy.total_j, energy.label, energy.error_frac) == (None, None, None)
    assert [(row.component, row.energy_j) for row in energy.rows] == [("cpu", 1.0)]
    assert not meters.complete


def test_a_lost_constant_leaves_the_total() -> None:
    window = started(
        opened(
            ram=ScriptedMeter([0.0, OSError("gone")], component="ram", label="constant"),
            cpu=ScriptedMeter([0.0, 1.0]),
        )
    )
    assert window.read().total_j == 1.0


@pytest.mark.parametrize("component", ["cpu", "cpu0"])
def test_of_two_meters_of_one_part_the_stronger_label_counts(component: str) -> None:
    meters = opened(
        model=ScriptedMeter([], component="cpu", label="modelled"),
        rapl=ScriptedMeter([0.0, 9.0], component=component, label="counter"),
    )
    assert started(meters).read().total_j == 9.0
    assert [(u.meter, u.reason) for u in meters.unavailable] == [
        ("model", "cpu is measured by rapl")
    ]


def test_each_gpu_is_a_part_of_its_own() -> None:
    meters = opened(
        a=ScriptedMeter([0.0, 1.0], component="gpu0"),
        b=ScriptedMeter([0.0, 2.0], component="gpu1"),
    )
    assert started(meters).read().total_j == 3.0


# 50 refreshes of 0.1 s are 5 s.
@pytest.mark.parametrize(("length_s", "below"), [(4.9, True), (5.1, False)])
def test_a_window_of_few_refreshes_is_flagged(length_s: float, below: bool) -> None:
    clock = FakeClock()
    window = started(opened(clock, gpu=ScriptedMeter([0.0, 1.0], refresh_s=0.1)))
    clock.advance(length_s)
    assert [row.below_resolution for row in window.read().rows] == [below]


def test_the_error_is_that_of_sensor_edges_and_gaps_over_the_energy() -> None:
    readings = [Reading(100.0, missed_j=5.0), Reading(140.0, missed_j=7.0)]
    meter = ScriptedMeter(readings, error_frac=0.05, edge_error_j=1.0)
    other = ScriptedMeter([0.0, 10.0], component="gpu0", error_frac=0.1)
    energy = started(opened(a=meter, b=other)).read()
    # 5% of 40 J, 1 J at the edges and 2 J missed: 5 J of 40. The other: 1 J of 10.
    assert [row.energy_error_frac for row in energy.rows] == pytest.approx([0.125, 0.1])
    # Errors add: 6 J of 50.
    assert energy.error_frac == pytest.approx(0.12)


def test_no_energy_has_no_relative_error() -> None:
    meter = ScriptedMeter([1.0, 1.0], label="modelled", edge_error_j=1.0)
    energy = started(opened(a=meter)).read()
    assert (energy.total_j, energy.error_frac) == (0.0, None)


def test_a_counter_that_has_not_moved_takes_the_total_with_it() -> None:
    """Never 0 J, and never the joules of the others alone."""
    meters = opened(a=ScriptedMeter([1.0, 1.0]), b=ScriptedMeter([1.0, 9.0], component="gpu0"))
    energy = started(meters).read()
    assert (energy.total_j, energy.label) == (None, None)
    assert [row.energy_j for row in energy.rows] == [8.0]


def test_a_reset_or_a_gap_within_the_window_is_flagged_and_one_before_it_is_not() -> None:
    meters = opened(
        a=ScriptedMeter([Reading(0.0, resets=1), Reading(1.0, resets=1, gaps=1)]),
        b=ScriptedMeter([Reading(0.0, gaps=2), Reading(1.0, gaps=2, resets=1)], component="gpu0"),
    )
    rows = started(meters).read().rows
    assert [(row.counter_reset, row.counter_gap) for row in rows] == [(False, True), (True, False)]


def test_only_meters_that_need_it_are_ticked_and_the_shortest_period_counts() -> None:
    slow = ScriptedMeter([0.0], tick_s=60.0)
    fast = ScriptedMeter([0.0], component="gpu0", tick_s=0.1)
    idle = ScriptedMeter([], component="ram")  # a reading would end its script
    meters = opened(a=slow, b=fast, c=idle)
    assert meters.tick_s == 0.1
    meters.tick()
    assert opened(c=ScriptedMeter([])).tick_s is None


class PartMeter(FunctionMeter):
    """A meter that is open without one of its components."""

    refused: ClassVar = {"gpu1": "lost"}


def test_a_meter_that_is_open_in_part_is_listed_and_refused_where_it_is_required() -> None:
    meters = opened(own=PartMeter(lambda: 1.0, component="gpu0"))
    assert [(one.meter, one.reason) for one in meters.unavailable] == [("own", "gpu1: lost")]
    part = PartMeter(lambda: 1.0, component="gpu0")
    with pytest.raises(MeterUnavailable, match="own: gpu1: lost"):
        MeterSet({"own": part}, required=True).open()
    assert part.closed


def test_a_total_needs_every_gpu_of_the_run() -> None:
    clock = FakeClock()
    meters = MeterSet({"cpu": FunctionMeter(lambda: 5.0 * clock())}, clock=clock)
    meters.open(GpuScope(num_gpus=1))
    assert (meters.whole, meters.complete) == (False, False)
    window = started(meters)
    clock.advance(2.0)
    energy = window.read()
    assert energy.total_j is None
    assert [(row.component, row.energy_j) for row in energy.rows] == [("cpu", 10.0)]


class GpusMeter(FunctionMeter):
    """A meter that can be limited to some GPUs."""

    chosen: Sequence[str] | None = ()

    def choose_gpus(self, uuids: Sequence[str] | None) -> None:
        self.chosen = uuids


@pytest.mark.parametrize("uuids", [None, ["GPU-b"]])
def test_a_meter_of_gpus_gets_the_gpus_of_the_run_before_it_is_opened(
    uuids: list[str] | None,
) -> None:
    meter = GpusMeter(lambda: 1.0, component="gpu1")
    MeterSet({"own": meter}).open(GpuScope(uuids=uuids))
    assert meter.chosen == uuids


def test_every_meter_is_closed() -> None:
    made = [ScriptedMeter([], component=name) for name in "ab"]
    opened(a=made[0], b=made[1]).close()
    assert [meter.closed for meter in made] == [True, True]


def test_reading_before_the_start_is_refused() -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        EnergyWindow(opened()).read()


@pytest.mark.parametrize(
    ("labels", "weakest"),
    [
        (["counter", "counter"], "counter"),
        (["counter", "modelled", "integrated"], "modelled"),
        (["constant", "modelled"], "constant"),
        ([], None),
    ],
)
def test_a_sum_takes_its_weakest_label(
    labels: list[EnergyLabel], weakest: EnergyLabel | None
) -> None:
    assert weakest_label(labels) == weakest


def test_the_slowest_counter_of_the_total_sets_its_refresh() -> None:
    meters = opened(
        cpu=ScriptedMeter([], component="cpu", refresh_s=0.001),
        gpu=ScriptedMeter([], component="gpu0", refresh_s=0.1),
        ram=ScriptedMeter([], component="ram", label="constant", refresh_s=15.0),
    )
    assert meters.refresh_s == 0.1
    assert opened().refresh_s is None


def total(energy_j: float, error_frac: float) -> WindowEnergy:
    return WindowEnergy(total_j=energy_j, label="counter", error_frac=error_frac)


def test_net_energy_is_gross_less_the_mean_idle_power_and_says_its_error() -> None:
    # 1000 J in 10 s; idle 40 W before (200 J in 5 s) and 60 W after.
    idle = idle_and_net(total(1000.0, 0.01), 10.0, total(200.0, 0.05), total(300.0, 0.05), 5.0)
    assert (idle.before_w, idle.after_w) == (40.0, 60.0)
    assert idle.net_energy_j == 500.0  # 1000 - 50 * 10
    # 10 J of the gross; idle: half of 20 W apart, and 5% of 50 W, over 10 s: 100 + 25 J.
    assert idle.net_error_frac == pytest.approx(135.0 / 500.0)


def test_a_load_that_does_not_stand_out_has_no_relative_error() -> None:
    idle = idle_and_net(total(400.0, 0.01), 10.0, total(200.0, 0.0), total(200.0, 0.0), 5.0)
    assert (idle.net_energy_j, idle.net_error_frac) == (0.0, None)


def test_without_a_total_there_is_no_net() -> None:
    idle = idle_and_net(WindowEnergy(), 10.0, total(200.0, 0.0), total(200.0, 0.0), 5.0)
    assert (idle.each_s, idle.net_energy_j) == (5.0, None)
