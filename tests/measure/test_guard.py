"""Misbehaving meters: each mistake becomes a failure with a reason, never a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from bench.core.labels import EnergyLabel
from bench.measure.energy import EnergyWindow, WindowEnergy
from bench.measure.meter_set import MeterSet
from bench.measure.meters.base import Component, Meter, MeterConfigError, MeterUnavailable, Reading
from tests.fakes import FakeClock, FunctionMeter, ScriptedMeter


def component(
    name: str,
    *,
    label: EnergyLabel = "counter",
    max_w: float | None = None,
    tick_s: float | None = None,
    refresh_s: float = 0.001,
    least_w: float = 0.0,
) -> Component:
    return Component(
        name=name,
        source="own",
        label=label,
        refresh_s=refresh_s,
        error_frac=0.0,
        edge_error_j=1.0,
        max_w=max_w,
        least_w=least_w,
        tick_s=tick_s,
    )


class OwnMeter:
    """As a user may write one: it returns whatever it was given."""

    def __init__(self, answer: Callable[[], Any], *components: Component) -> None:
        self.components: Sequence[Component] = components or (component("gpu0"),)
        self.closed = False
        self._answer = answer

    def open(self) -> None:
        """Nothing to open."""

    def read(self) -> Mapping[str, Reading]:
        answer: Mapping[str, Reading] = self._answer()
        return answer

    def close(self) -> None:
        self.closed = True


def measured(answers: Sequence[Any], *components: Component) -> tuple[WindowEnergy, MeterSet]:
    """A window of 10 s over a meter with these answers, beside 5 W that are fine."""
    clock, rest = FakeClock(), iter(answers)
    meters = MeterSet(
        {
            "own": OwnMeter(lambda: next(rest), *components),
            "fine": FunctionMeter(lambda: 5.0 * clock()),
        },
        clock=clock,
    )
    meters.open()
    window = EnergyWindow(meters)
    window.start()
    clock.advance(10.0)
    return window.read(), meters


def joules(**readings: float) -> dict[str, Reading]:
    return {name: Reading(energy_j) for name, energy_j in readings.items()}


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (joules(gpu0=-500.0), "gpu0: its joules fell from 0 to -500"),
        (joules(gpu0=math.nan), "gpu0: it reads nan J"),
        (joules(gpu0=math.inf), "gpu0: it reads inf J"),
        ({"gpu0": Reading(9.0, missed_j=math.nan)}, "gpu0: it reads 9.0 J, off by up to nan J"),
        ({"gpu0": Reading(9.0, missed_j=math.inf)}, "gpu0: it reads 9.0 J, off by up to inf J"),
        ({"gpu0": Reading.failed("it is lost")}, "gpu0: it is lost"),
        ({}, "gpu0: the meter gives no reading"),
        (joules(gpu1=9.0), "gpu0: the meter gives no reading"),
        (None, "AttributeError: "),
        ({"gpu0": 9.0}, "AttributeError: "),
        ({"gpu0": Reading("9")}, "TypeError: "),  # type: ignore[arg-type]
    ],
)
def test_a_reading_that_cannot_be_takes_its_component_and_the_total(
    second: Any, reason: str
) -> None:
    energy, meters = measured([joules(gpu0=0.0), second])
    assert (energy.total_j, energy.label, energy.error_frac) == (None, None, None)
    assert [(row.component, row.energy_j) for row in energy.rows] == [("cpu", 50.0)]
    (failed,) = meters.unavailable
    assert failed.meter == "own"
    assert failed.reason.startswith(f"failed while measuring: {reason}")
    assert (meters.failed, meters.complete) == ({"gpu0"}, False)


@pytest.mark.parametrize(
    "error", [ValueError("''"), KeyError("gpu0"), RuntimeError("x"), ZeroDivisionError("x")]
)
def test_whatever_a_meter_raises_is_its_failure(error: Exception) -> None:
    def fail() -> Any:
        raise error

    clock = FakeClock()
    meters = MeterSet({"own": OwnMeter(fail)}, clock=clock)
    meters.open()
    assert meters.read().by_component == {}
    (failed,) = meters.unavailable
    assert failed.reason == f"failed while measuring: {type(error).__name__}: {error}"


def test_ctrl_c_does_not_count_as_a_failure_of_a_meter() -> None:
    def interrupt() -> Any:
        raise KeyboardInterrupt

    meters = MeterSet({"own": OwnMeter(interrupt)})
    meters.open()
    with pytest.raises(KeyboardInterrupt):
        meters.read()


@pytest.mark.parametrize("error", [ValueError("N/A"), TypeError("x"), LookupError("x")])
def test_whatever_a_meter_raises_when_it_is_opened_is_a_reason(error: Exception) -> None:
    def odd() -> Meter:
        return ScriptedMeter([], component="gpu0", open_error=error)

    meters = MeterSet({"own": odd(), "fine": FunctionMeter(lambda: 1.0)}, clock=FakeClock())
    meters.open()
    assert [one.name for one in meters.components] == ["cpu"]
    assert meters.unavailable[0].reason == f"{type(error).__name__}: {error}"
    with pytest.raises(MeterUnavailable, match=f"own: {type(error).__name__}"):
        MeterSet({"own": odd()}, required=True).open()


def test_a_wrong_configuration_is_not_skipped() -> None:
    meter = ScriptedMeter([], open_error=MeterConfigError("idle_w=40: must not be above full_w"))
    first = FunctionMeter(lambda: 1.0)
    with pytest.raises(MeterConfigError, match="idle_w=40"):
        MeterSet({"first": first, "cpu_model": meter}).open()
    assert first.closed


def test_one_component_that_fails_leaves_the_others_of_its_meter() -> None:
    answers = [joules(gpu0=0.0, gpu1=0.0), {**joules(gpu1=30.0), "gpu0": Reading.failed("lost")}]
    energy, meters = measured(answers, component("gpu0"), component("gpu1"))
    assert energy.total_j is None
    assert [(row.component, row.energy_j) for row in energy.rows] == [("gpu1", 30.0), ("cpu", 50.0)]
    assert [one.reason for one in meters.unavailable] == ["failed while measuring: gpu0: lost"]


def test_a_component_that_failed_does_not_come_back() -> None:
    answers = [joules(gpu0=0.0), joules(gpu0=math.nan), joules(gpu0=900.0)]
    _, meters = measured(answers)
    assert meters.read().by_component.keys() == {"cpu"}
    assert len(meters.unavailable) == 1


def test_a_counter_that_is_read_regularly_fails_when_it_stands_still() -> None:
    """Also where it moves again: what it missed is not known."""
    clock, shown_j = FakeClock(), [7.0]
    own = OwnMeter(lambda: joules(gpu0=shown_j[0]), component("gpu0", tick_s=1.0))
    meters = MeterSet({"own": own}, clock=clock)
    meters.open()
    window = EnergyWindow(meters)
    window.start()
    for _ in range(2):
        shown_j[0] += 9.0
        clock.advance(1.0)
        meters.tick()
    assert window.read().total_j == 18.0
    clock.advance(0.05)  # fifty refreshes
    meters.tick()
    assert meters.complete
    clock.advance(0.001)
    meters.tick()
    shown_j[0] += 9.0
    assert window.read().total_j is None
    (failed,) = meters.unavailable
    assert failed.reason == "failed while measuring: gpu0: its counter has not moved for 0.051 s"


def test_a_counter_that_is_read_at_the_edges_alone_is_judged_by_the_window() -> None:
    clock, shown_j = FakeClock(), [7.0]
    meters = MeterSet({"own": OwnMeter(lambda: joules(gpu0=shown_j[0]))}, clock=clock)
    meters.open()
    window = EnergyWindow(meters)
    window.start()
    clock.advance(0.001)
    energy = window.read()
    assert (energy.total_j, list(energy.rows)) == (None, [])
    assert window.impossible(meters.read()) == {"gpu0": "its counter has not moved for 0.001 s"}
    # The window in which it moves is a measurement, and the meter has not failed.
    shown_j[0] += 9.0
    assert window.read().total_j == 9.0
    assert meters.complete


@pytest.mark.parametrize("label", ["modelled", "integrated"])
@pytest.mark.parametrize("tick_s", [None, 1.0])
def test_only_a_counter_must_move(label: EnergyLabel, tick_s: float | None) -> None:
    """A model or a rail of a chip may say for long that nothing is used."""
    energy, _ = measured([joules(gpu0=3.0)] * 2, component("gpu0", label=label, tick_s=tick_s))
    assert energy.total_j == 50.0


@pytest.mark.parametrize("tick_s", [None, 36.0])
def test_a_slow_counter_may_stand_still_for_fifty_refreshes(tick_s: float | None) -> None:
    """Joules of before it moved are not known; that it failed is not said either."""
    clock = FakeClock()
    wall = FunctionMeter(lambda: 7.0, refresh_s=36.0, tick_s=tick_s)
    meters = MeterSet({"wall": wall}, clock=clock)
    meters.open()
    window = EnergyWindow(meters)
    window.start()
    clock.advance(1800.0)
    assert window.read().total_j is None
    assert meters.complete
    clock.advance(1.0)
    assert window.read().total_j is None
    assert meters.complete == (tick_s is None)


@pytest.mark.parametrize(("watts", "can_be"), [(0.09, False), (0.11, True)])
def test_a_counter_that_creeps_has_failed(watts: float, can_be: bool) -> None:
    clock = FakeClock()
    own = component("gpu0", refresh_s=0.1, least_w=0.1)
    meters = MeterSet({"own": OwnMeter(lambda: joules(gpu0=watts * clock()), own)}, clock=clock)
    meters.open()
    window = EnergyWindow(meters)
    window.start()
    clock.advance(4.9)  # the edges weigh too much to tell
    assert window.impossible(meters.read()) == {}
    clock.advance(0.2)
    reason = "its counter says 0.09 W on average, which cannot be"
    assert window.impossible(meters.read()) == ({} if can_be else {"gpu0": reason})


@pytest.mark.parametrize(("gone_j", "fits"), [(1001.0, True), (1002.0, False)])
def test_a_component_that_states_its_most_power_cannot_gain_more(gone_j: float, fits: bool) -> None:
    """100 W for 10 s, and 1 J at the edges."""
    answers = [joules(gpu0=0.0), joules(gpu0=gone_j)]
    energy, meters = measured(answers, component("gpu0", max_w=100.0))
    assert energy.total_j == (50.0 + gone_j if fits else None)
    assert meters.complete == fits


def test_rounding_in_the_last_digit_does_not_count_as_a_decrease() -> None:
    energy, _ = measured(
        [joules(gpu0=0.3), joules(gpu0=0.3 - 1e-16)], component("gpu0", label="modelled")
    )
    assert energy.total_j == pytest.approx(50.0)


def test_a_component_that_is_contradicted_from_elsewhere_fails_once() -> None:
    _, meters = measured([joules(gpu0=0.0), joules(gpu0=900.0)])
    meters.fail("gpu0", "its power says otherwise")
    meters.fail("gpu0", "again")
    assert [one.reason for one in meters.unavailable] == [
        "failed while measuring: gpu0: its power says otherwise"
    ]


def test_a_failed_meter_is_still_closed_and_asked_no_more() -> None:
    clock = FakeClock()
    meter = OwnMeter(iter([joules(gpu0=0.0), joules(gpu0=-1.0)]).__next__)
    meters = MeterSet({"own": meter}, clock=clock)
    meters.open()
    for _ in range(4):  # a third answer would be a StopIteration
        meters.read()
    assert len(meters.unavailable) == 1
    meters.close()
    assert meter.closed
