"""The joules that a counter gives for a window, against the power sampled meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.core.labels import EnergyLabel
from bench.core.records.energy import EnergyRow
from bench.measure.crosscheck import contradicted
from bench.measure.energy import EnergyWindow
from bench.measure.meters.base import Component
from bench.measure.sampler import TelemetryRow
from bench.measure.window import Window
from tests.fakes import FakeClock, FunctionMeter

LENGTH_S = 20.0


def samples(
    watts: list[float], *, device: str = "gpu0", first_s: float = 0.5
) -> list[TelemetryRow]:
    """One a second."""
    return [
        TelemetryRow(t_s=first_s + i, device=device, metric="gpu_power_w", value=value)
        for i, value in enumerate(watts)
    ]


def found(
    counted_j: float,
    telemetry: list[TelemetryRow],
    *,
    label: EnergyLabel = "counter",
    includes: tuple[str, ...] = (),
    length_s: float = LENGTH_S,
) -> dict[str, str]:
    row = EnergyRow(component="gpu0", energy_j=counted_j, source="made", label=label)
    component = Component(
        name="gpu0",
        source="made",
        label=label,
        refresh_s=0.1,
        error_frac=0.0,
        edge_error_j=0.0,
        includes=includes,
    )
    return contradicted([row], [component], telemetry, length_s)


# 300 W in 20 s are 6000 J.
@pytest.mark.parametrize(
    ("counted_j", "wrong"),
    [(6000.0, False), (3010.0, False), (11_990.0, False), (2990.0, True), (12_010.0, True)],
)
def test_joules_off_by_more_than_a_factor_of_two_are_contradicted(
    counted_j: float, wrong: bool
) -> None:
    assert bool(found(counted_j, samples([300.0] * 20))) == wrong


def test_the_reason_has_both_powers() -> None:
    (reason,) = found(600.0, samples([100.0, 500.0] * 10)).values()
    assert reason == "its counter says 30 W on average, its power sensor 300 W"


@pytest.mark.parametrize(
    ("telemetry", "label"),
    [
        (samples([300.0] * 19), "counter"),  # too few to be a mean
        (samples([300.0] * 40, first_s=-20.5), "integrated"),  # the same reading, not a second one
        (samples([300.0] * 20, first_s=-20.5), "counter"),  # before the clock
        (samples([300.0] * 20, first_s=20.5), "counter"),  # and after it
        (samples([300.0] * 20, device="gpu1"), "counter"),  # of another card
        # What cannot be says nothing but of the sensor.
        (samples([0.0] * 20), "counter"),
        (samples([4e6] * 20), "counter"),
    ],
)
def test_without_a_second_reading_nothing_is_contradicted(
    telemetry: list[TelemetryRow], label: EnergyLabel
) -> None:
    assert found(600.0, telemetry, label=label) == {}


def test_a_module_may_count_more_than_its_gpu_draws_and_not_less() -> None:
    assert found(20_000.0, samples([300.0] * 20), includes=("cpu",)) == {}
    assert found(2000.0, samples([300.0] * 20), includes=("cpu",)) != {}


def test_a_module_is_compared_with_the_power_of_the_module_where_that_is_sampled() -> None:
    telemetry = [
        *samples([100.0] * 20),
        *(replace(row, metric="gpu_module_power_w") for row in samples([300.0] * 20)),
    ]
    assert found(6000.0, telemetry, includes=("cpu",)) == {}
    assert found(6000.0, telemetry) != {}  # the card alone draws 2,000 J
    # As the counter holds no more than the sensor sees, it may not show more either.
    assert found(20_000.0, telemetry, includes=("cpu",)) != {}


def test_a_window_without_length_is_not_judged() -> None:
    assert found(0.0, samples([300.0] * 20), length_s=0.0) == {}


@pytest.mark.parametrize(("power_w", "total_j"), [(110.0, 2100.0), (300.0, None)])
def test_a_window_drops_the_counter_that_was_contradicted(
    monkeypatch: pytest.MonkeyPatch, power_w: float, total_j: float | None
) -> None:
    """The card counts 100 W, the rest of the machine draws 5 W; 20 s."""
    clock = FakeClock()
    meters = {
        "gpu": FunctionMeter(lambda: 100.0 * clock(), component="gpu0"),
        "cpu": FunctionMeter(lambda: 5.0 * clock()),
    }
    window = Window(meters, clock=clock, period_s=None, gpus=None)
    monkeypatch.setattr(window, "telemetry", lambda: samples([power_w] * 20))
    with window:
        clock.advance(5.0)
        window.phases.switch("eval")
        clock.advance(15.0)
    assert window.health is not None
    wrong = total_j is None
    assert window.energy_j == total_j
    assert ("meter_failed" in window.health.flags) == wrong
    assert (window.phases.result is None) == wrong
    assert [row.component for row in window.energy.rows] == ["gpu0", "cpu"][wrong:]
    reasons = [one.reason for one in window.unavailable if one.meter == "gpu"]
    says = "its counter says 100 W on average, its power sensor 300 W"
    assert reasons == [f"failed while measuring: gpu0: {says}"] * wrong
    # Nor do its joules count in a window after this one.
    assert window.meters.complete == (not wrong)
    later = EnergyWindow(window.meters)
    later.start()
    clock.advance(1.0)
    assert (later.read().total_j is None) == wrong
