from __future__ import annotations

import pytest

from bench.core.records import EnergyLabel
from bench.measure.meters.base import Meter, MeterUnavailable
from bench.measure.window import EnergyWindow, weakest_label
from tests.fakes import FakeClock, ScriptedMeter


def opened(clock: FakeClock | None = None, **meters: Meter) -> EnergyWindow:
    window = EnergyWindow(meters, clock or FakeClock())
    window.open()
    return window


def test_the_total_is_the_sum_of_differences_from_the_baseline() -> None:
    window = opened(
        a=ScriptedMeter([5.0, 15.0, 25.0], component="cpu"),
        b=ScriptedMeter([1.0, 3.0, 4.0], component="gpu0", label="integrated"),
    )
    window.start()
    assert window.total_j() == 12.0  # (15 - 5) + (3 - 1)
    assert window.total_j() == 23.0  # (25 - 5) + (4 - 1): cumulative, not since the last
    assert window.label == "integrated"


def test_constants_are_reported_but_not_summed() -> None:
    window = opened(
        a=ScriptedMeter([0.0, 10.0], component="cpu", label="modelled"),
        b=ScriptedMeter([0.0, 20.0], component="ram", label="constant"),
    )
    window.start()
    assert window.total_j() == 10.0
    assert window.label == "modelled"
    assert [(row.component, row.energy_j) for row in window.rows()] == [("cpu", 10), ("ram", 20)]


def test_nothing_but_constants_is_no_total() -> None:
    window = opened(a=ScriptedMeter([0.0, 20.0], label="constant"))
    window.start()
    assert window.total_j() is None
    assert window.label is None


def test_no_meter_is_no_total() -> None:
    window = opened()
    window.start()
    assert window.total_j() is None
    assert window.rows() == []


def test_a_meter_that_cannot_be_opened_is_listed_and_the_run_goes_on() -> None:
    window = opened(
        rapl=ScriptedMeter([], open_error=MeterUnavailable("not readable: use sudo")),
        model=ScriptedMeter([0.0, 7.0]),
    )
    window.start()
    assert window.total_j() == 7.0
    [absent] = window.unavailable
    assert (absent.meter, absent.reason) == ("rapl", "not readable: use sudo")


@pytest.mark.parametrize("error", [OSError("gone"), MeterUnavailable("gone")])
def test_a_meter_that_fails_midway_takes_the_total_but_not_the_other_rows(
    error: Exception,
) -> None:
    lost = ScriptedMeter([0.0, 10.0, error], component="gpu0")
    window = opened(gpu=lost, cpu=ScriptedMeter([0.0, 1.0, 2.0, 3.0]))
    window.start()
    assert window.total_j() == 11.0
    assert window.total_j() is None
    assert window.total_j() is None  # and it does not come back
    assert window.label is None
    assert [(row.component, row.energy_j) for row in window.rows()] == [("cpu", 3.0)]
    assert window.unavailable[0].reason == "failed while measuring: gone"
    window.close()
    assert lost.closed


def test_a_meter_that_fails_at_the_start_is_left_out_like_one_that_did_not_open() -> None:
    lost = ScriptedMeter([OSError("gone")], component="gpu0")
    window = opened(gpu=lost, cpu=ScriptedMeter([0.0, 1.0]))
    window.start()
    assert window.unavailable[0].meter == "gpu"
    assert window.total_j() == 1.0


def test_a_lost_constant_leaves_the_total() -> None:
    window = opened(
        ram=ScriptedMeter([0.0, OSError("gone")], component="ram", label="constant"),
        cpu=ScriptedMeter([0.0, 1.0]),
    )
    window.start()
    assert window.total_j() == 1.0


def test_of_two_meters_of_one_component_the_stronger_label_counts() -> None:
    weak = ScriptedMeter([], label="modelled")
    window = opened(model=weak, rapl=ScriptedMeter([0.0, 9.0], label="counter"))
    window.start()
    assert window.total_j() == 9.0
    assert [(u.meter, u.reason) for u in window.unavailable] == [
        ("model", "cpu is measured by rapl")
    ]


# 50 refreshes of 0.1 s are 5 s.
@pytest.mark.parametrize(("length_s", "below"), [(4.9, True), (5.1, False)])
def test_a_window_of_few_refreshes_is_flagged(length_s: float, below: bool) -> None:
    clock = FakeClock()
    window = opened(clock, gpu=ScriptedMeter([0.0, 1.0], refresh_s=0.1))
    window.start()
    clock.advance(length_s)
    window.total_j()
    clock.advance(100.0)  # rows() is as of the last reading
    assert [row.below_resolution for row in window.rows()] == [below]


def test_every_meter_is_closed() -> None:
    meters = [ScriptedMeter([], component=name) for name in "ab"]
    window = opened(a=meters[0], b=meters[1])
    window.close()
    assert [meter.closed for meter in meters] == [True, True]


def test_reading_before_the_start_is_refused() -> None:
    with pytest.raises(RuntimeError, match="has not been started"):
        opened().total_j()


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
    window = opened(
        cpu=ScriptedMeter([], component="cpu", refresh_s=0.001),
        gpu=ScriptedMeter([], component="gpu0", refresh_s=0.1),
        ram=ScriptedMeter([], component="ram", label="constant", refresh_s=15.0),
    )
    assert window.refresh_s == 0.1
    assert opened().refresh_s is None
