"""Joules by phase, on a simulated machine whose power in each phase is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial

import pytest

from bench.core.records.energy import PhaseEnergy
from bench.core.records.phases import MAINTENANCE_PHASES, TRAINING_PHASES, Phase
from bench.core.target import Target
from bench.measure.meters.base import Meter, MeterUnavailable, Reading
from bench.measure.target_measurement import TargetMeasurement
from bench.measure.window import Window
from tests.fakes import FakeClock, FunctionMeter, ScriptedMeter
from tests.opened import open_for_test

WATTS: Mapping[Phase, float] = {"train": 100.0, "eval": 40.0, "checkpoint": 10.0}
MAX_W = 100.0
TARGET = Target(metric="accuracy", value=0.9, mode="max", rule="first", consecutive=2)


class Machine:
    """Draws so many watts while it does something; its counter moves every refresh_s."""

    def __init__(self, refresh_s: float = 0.001, *, lagging: bool = False) -> None:
        self.clock = FakeClock()
        self.num_reads = 0
        self.true_j: dict[Phase, float] = {"train": 0.0, "eval": 0.0, "checkpoint": 0.0}
        self._steps: list[tuple[float, float, float]] = []  # from when, watts, joules until then
        self._total_j = 0.0
        self._refresh_s = refresh_s
        self._lagging = lagging

    def meter(self, error_frac: float = 0.0) -> FunctionMeter:
        return FunctionMeter(
            self._read,
            refresh_s=self._refresh_s,
            error_frac=error_frac,
            edge_error_j=MAX_W * self._refresh_s,
        )

    def works(self, seconds: float, watts: float) -> None:
        self._steps.append((self.clock(), watts, self._total_j))
        self._total_j += watts * seconds
        self.clock.advance(seconds)

    def spends(self, phase: Phase, seconds: float, watts: float | None = None) -> None:
        watts = WATTS[phase] if watts is None else watts
        self.true_j[phase] += watts * seconds
        self.works(seconds, watts)

    def _read(self) -> float:
        self.num_reads += 1
        if not self._lagging:
            return self._total_j
        at_s = math.floor(self.clock() / self._refresh_s) * self._refresh_s
        for since_s, watts, before_j in reversed(self._steps):
            if since_s <= at_s:
                return before_j + watts * (at_s - since_s)
        return 0.0


def window_on(
    machine: Machine,
    meters: Mapping[str, Meter] | None = None,
    phases: Sequence[Phase] = TRAINING_PHASES,
) -> Window:
    window = Window(
        {"meter": machine.meter()} if meters is None else meters,
        period_s=None,
        phases=phases,
        clock=machine.clock,
        idle_s=0.0,
    )
    open_for_test(window)
    window.start()
    return window


def one_evaluation(machine: Machine, window: Window) -> None:
    """4 s of training, 1 s of evaluation, half a second of writing, 2 s of training."""
    machine.spends("train", 4.0)
    window.phases.switch("eval")
    machine.spends("eval", 1.0)
    window.phases.switch("checkpoint")
    machine.spends("checkpoint", 0.5)
    window.phases.switch_quickly("train")
    machine.spends("train", 2.0)
    window.stop()


def test_each_joule_is_booked_on_the_phase_in_which_it_was_used() -> None:
    machine = Machine()
    window = window_on(machine)
    one_evaluation(machine, window)
    energy = window.phases.result
    assert energy is not None
    # 100 W for 4 s and 2 s, 40 W for 1 s, 10 W for half a second.
    assert (energy.train_j, energy.eval_j, energy.checkpoint_j) == (600.0, 40.0, 5.0)
    assert window.energy_j == 645.0


def test_a_stretch_in_which_no_counter_refreshes_is_not_read_and_shares_by_time() -> None:
    machine = Machine(refresh_s=1.0)
    window = window_on(machine)
    before = machine.num_reads
    one_evaluation(machine, window)
    assert machine.num_reads == before + 3  # both ends of the evaluation, and the stop
    energy = window.phases.result
    assert energy is not None
    # From the end of the evaluation to the stop: 205 J in 2.5 s, of which writing took half a
    # second, so a fifth.
    assert energy.checkpoint_j == pytest.approx(41.0)
    assert energy.train_j == pytest.approx(400.0 + 164.0)
    assert energy.eval_j == 40.0
    # The split may be off by 100 W x 0.5 s x (1 - 0.2) = 40 J, the edges of the whole by 100 J, of
    # which a fifth is the checkpoint's. It is off by 36 J: 5 J were used.
    assert energy.checkpoint_error_frac == pytest.approx((40.0 + 20.0) / 41.0)
    # Training had these, four fifths of the edges, and 4 s before with its two edges.
    assert energy.train_error_frac == pytest.approx((40.0 + 80.0 + 100.0) / 564.0)


@pytest.mark.parametrize(("expected_s", "eval_j"), [(0.9, 88.0), (1.0, 40.0)])
def test_the_start_of_a_phase_is_not_read_if_it_will_end_before_a_refresh(
    expected_s: float, eval_j: float
) -> None:
    machine = Machine(refresh_s=1.0)
    window = window_on(machine)
    before = machine.num_reads
    machine.spends("train", 4.0)
    window.phases.switch_to_brief("eval", expected_s)
    machine.spends("eval", 1.0)
    assert window.phases.switch("checkpoint").total_j == 440.0
    assert machine.num_reads == before + (1 if expected_s < 1.0 else 2)
    # Without the reading: 440 J in 5 s, of which the evaluation took one.
    assert window.phases.book.energy_j("eval") == pytest.approx(eval_j)
    assert window.phases.book.energy_j("train") == pytest.approx(440.0 - eval_j)


def test_evaluations_that_follow_a_brief_one_are_read_at_their_end_only() -> None:
    machine = Machine(refresh_s=1.0)
    window = Window({"meter": machine.meter()}, period_s=None, clock=machine.clock)
    open_for_test(window)
    measurement = TargetMeasurement(target=TARGET, window=window, on_row=lambda _: None)
    measurement.start()
    num_reads = []
    for eval_s in (0.25, 0.25, 1.5, 0.25, 0.25):
        machine.spends("train", 4.0)
        before = machine.num_reads
        measurement.begin_evaluation()
        num_reads.append(machine.num_reads - before)
        machine.spends("eval", eval_s)
        measurement.keep_row(None, {"accuracy": 0.5})
        assert machine.num_reads == before + num_reads[-1] + 1
        window.phases.switch_quickly("train")
    # The first may take any time, and the fourth as much as the third.
    assert num_reads == [1, 0, 0, 1, 0]


def test_the_error_has_the_edges_of_every_stretch_and_the_sensor() -> None:
    machine = Machine(refresh_s=0.01)
    window = window_on(machine, {"meter": machine.meter(error_frac=0.05)})
    for _ in range(3):
        machine.spends("train", 4.0)
        window.phases.switch("eval")
        machine.spends("eval", 1.0)
        window.phases.switch("train")
    window.stop()
    energy = window.phases.result
    assert energy is not None
    # Each stretch has two edges, both together off by at most 100 W x 0.01 s = 1 J; the fourth of
    # training is empty.
    assert energy.eval_error_frac == pytest.approx(0.05 + 3 * 1.0 / (3 * 40.0))
    assert energy.train_error_frac == pytest.approx(0.05 + 4 * 1.0 / (3 * 400.0))
    assert energy.checkpoint_error_frac is None  # of no joules


def test_a_phase_is_below_resolution_where_its_stretches_are_few_refreshes_each() -> None:
    machine = Machine(refresh_s=0.01)
    window = window_on(machine)
    for _ in range(100):  # 100 x 0.4 s: the sum is long, each stretch is 40 refreshes
        machine.spends("train", 0.6)
        window.phases.switch("eval")
        machine.spends("eval", 0.4)
        window.phases.switch("train")
    window.stop()
    energy = window.phases.result
    assert energy is not None
    assert energy.init_j is None  # set-up took no time at all
    assert energy.below_resolution == ["eval"]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("lagging", [False, True])
def test_phases_sum_to_the_total_and_are_within_their_bounds(seed: int, lagging: bool) -> None:
    rng = random.Random(seed)
    machine = Machine(refresh_s=0.1, lagging=lagging)
    machine.works(rng.uniform(0.0, 1.0), 50.0)  # the counter's refreshes fall anywhere
    window = window_on(machine)
    phase: Phase = "train"
    for _ in range(200):
        for _ in range(3):
            machine.spends(phase, rng.expovariate(1 / 0.05), rng.choice([0.0, 30.0, MAX_W]))
        following: dict[Phase, Phase] = {
            "train": "eval",
            "eval": "checkpoint",
            "checkpoint": "train",
        }
        phase = following[phase]
        brief = partial(window.phases.switch_to_brief, expected_s=rng.expovariate(1 / 0.1))
        switches: list[Callable[[Phase], object]] = [
            window.phases.switch,
            window.phases.switch_quickly,
            brief,
        ]
        rng.choice(switches)(phase)
    window.stop()

    energy = window.phases.result
    assert energy is not None
    assert window.energy_j is not None
    booked_j = {phase: getattr(energy, f"{phase}_j") for phase in WATTS}
    assert sum(booked_j.values()) == pytest.approx(window.energy_j, rel=1e-12)
    for each, joules in booked_j.items():
        error_frac = getattr(energy, f"{each}_error_frac")
        assert abs(joules - machine.true_j[each]) <= error_frac * joules


def test_a_reading_at_an_edge_is_the_windows_own_without_the_rows() -> None:
    meters: dict[str, Meter] = {
        "cpu": ScriptedMeter([0.0, 1.0, 2.0, 9.0, 9.0], error_frac=0.1, edge_error_j=0.5),
        "gpu": ScriptedMeter(
            [
                Reading(0.0),
                Reading(0.0),
                Reading(5.0),
                Reading(8.0, missed_j=2.0),
                Reading(8.0, missed_j=2.0),
            ],
            component="gpu0",
            label="integrated",
        ),
        "ram": ScriptedMeter([0.0, 1.0, 2.0, 3.0, 4.0], component="ram", label="constant"),
    }
    machine = Machine()
    window = window_on(machine, meters)  # reads three times: open, end of set-up, start
    at_edge, whole = window.phases.switch("eval"), window.read()
    assert (at_edge.total_j, at_edge.label) == (whole.total_j, whole.label) == (10.0, "integrated")
    assert at_edge.error_frac == pytest.approx(whole.error_frac)
    assert at_edge.error_frac == pytest.approx((0.1 * 7.0 + 0.5 + 2.0) / 10.0)
    assert (len(at_edge.rows), len(whole.rows)) == (0, 3)


def test_each_joule_is_booked_on_a_phase_whatever_the_phases_are() -> None:
    machine = Machine()
    window = window_on(machine, phases=MAINTENANCE_PHASES)
    for seconds, phase in enumerate(MAINTENANCE_PHASES, start=1):
        if phase != window.clock.phase:
            window.phases.switch(phase)
        machine.works(float(seconds), 10.0)
    window.stop()
    # 10 W for 1 s, 2 s, ... 6 s; the edges of each are off by at most 100 W x 0.001 s.
    booked = {f"{phase}_j": 10.0 * n for n, phase in enumerate(MAINTENANCE_PHASES, start=1)}
    bounds = {
        f"{phase}_error_frac": 0.1 / (10.0 * n)
        for n, phase in enumerate(MAINTENANCE_PHASES, start=1)
    }
    expected = {field.name: None for field in fields(PhaseEnergy)} | booked | bounds
    energy = window.phases.result
    assert energy is not None
    assert asdict(energy) == pytest.approx({**expected, "below_resolution": []})
    assert window.energy_j == 210.0


def test_joules_between_two_readings_at_one_moment_belong_to_the_phase_that_ends() -> None:
    window = window_on(Machine(), {"meter": ScriptedMeter([0.0, 0.0, 0.0, 3.0, 4.0])})
    window.phases.switch("eval")  # no time has passed on the fake clock
    window.stop()
    energy = window.phases.result
    assert energy is not None
    assert (energy.train_j, energy.eval_j) == (3.0, 1.0)


def test_a_meter_that_fails_in_the_middle_leaves_no_energy_by_phase() -> None:
    readings: list[float | Reading | Exception] = [0.0, 0.0, 0.0, 3.0, MeterUnavailable("lost")]
    window = window_on(Machine(), {"meter": ScriptedMeter(readings)})
    assert window.phases.switch("eval").total_j == 3.0
    assert window.phases.book.energy_j("train") == 3.0
    assert window.phases.switch("checkpoint").total_j is None
    assert window.phases.book.energy_j("train") is None
    window.stop()
    assert window.phases.result is None


@pytest.mark.parametrize(
    "meters", [{}, {"ram": FunctionMeter(lambda: 20.0, component="ram", label="constant")}]
)
def test_without_a_meter_energy_by_phase_is_absent_and_time_goes_on(
    meters: Mapping[str, Meter],
) -> None:
    machine = Machine()
    window = window_on(machine, meters)
    one_evaluation(machine, window)
    assert window.phases.result is None
    assert window.clock.reading().of("checkpoint") == 0.5


def set_up(
    read: Callable[[FakeClock], float | Reading], *, idle_s: float = 0.0, refresh_s: float = 0.001
) -> Window:
    """2 s of set-up, after the meters were opened at 10 s; then 1 s on the clock."""
    clock = FakeClock(10.0)
    meter = FunctionMeter(lambda: read(clock), refresh_s=refresh_s, edge_error_j=1.0)
    window = Window(
        {"meter": meter}, period_s=None, clock=clock, idle_s=idle_s, sleep=clock.advance
    )
    open_for_test(window)
    clock.advance(2.0)
    window.start()
    clock.advance(1.0)
    window.stop()
    return window


def test_set_up_is_metered_from_open_meters_to_the_start_without_the_idle_machine() -> None:
    energy = set_up(lambda clock: 30.0 * clock(), idle_s=100.0).phases.result
    assert energy is not None
    assert (energy.init_j, energy.init_metered_s) == (60.0, 2.0)
    assert energy.init_error_frac == pytest.approx(1.0 / 60.0)
    assert energy.train_j == 30.0  # set-up is not in it
    assert energy.below_resolution == []


def test_a_short_set_up_is_below_resolution() -> None:
    energy = set_up(lambda clock: 30.0 * clock(), refresh_s=0.05).phases.result  # 40 refreshes
    assert energy is not None
    assert energy.below_resolution == ["init", "train"]


def test_set_up_is_not_told_where_joules_of_it_may_have_gone_unseen() -> None:
    # As of integrated power, which nobody samples before the clock.
    energy = set_up(lambda clock: Reading(30.0 * clock(), missed_j=clock())).phases.result
    assert energy is not None
    assert (energy.init_j, energy.init_metered_s, energy.init_error_frac) == (None, None, None)
    assert energy.train_j == 30.0


@pytest.mark.parametrize("num_good", [1, 2, 3])
@pytest.mark.parametrize("idle_s", [0.0, 5.0])
def test_a_component_that_is_lost_before_the_clock_leaves_no_phase_and_no_total(
    num_good: int, idle_s: float
) -> None:
    """In set-up, at its end, in the idle measurement or at the start."""
    clock = FakeClock()
    good = [10.0 * number for number in range(num_good)]
    lost = ScriptedMeter([*good, OSError("gone")], component="gpu0")
    window = Window(
        {"gpu": lost, "cpu": FunctionMeter(lambda: 10.0 * clock())},
        period_s=None,
        clock=clock,
        idle_s=idle_s,
        sleep=clock.advance,
    )
    open_for_test(window)
    clock.advance(2.0)
    window.start()
    clock.advance(3.0)
    assert window.phases.switch("eval").total_j is None
    window.stop()
    assert window.phases.result is None
    assert window.energy_j is None
    assert [(row.component, row.energy_j) for row in window.energy.rows] == [("cpu", 30.0)]
    assert window.idle is None or window.idle.net_energy_j is None
    assert window.health is not None
    assert "meter_failed" in window.health.flags


def test_joules_that_were_discarded_are_in_no_phase() -> None:
    machine = Machine()
    window = window_on(machine)
    one_evaluation(machine, window)
    window.phases.book.complete = False
    assert (window.phases.result, window.phases.book.energy_j("eval")) == (None, None)
