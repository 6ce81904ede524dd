"""Which GPUs a window is charged for, and what it reports if their joules are missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from unittest import mock

import pynvml
import pytest

from bench.core.labels import ENERGY_FLAGS, EnergyLabel
from bench.core.records.health import Health
from bench.measure import visible_gpus
from bench.measure.carbon import CodeCarbonTracker
from bench.measure.meters.base import Meter, MeterUnavailable
from bench.measure.meters.nvml import NvmlMeter
from bench.measure.window import Window
from tests.fake_nvml import FakeGpu, FakeNvml, install
from tests.fakes import FakeClock, FunctionMeter, ScriptedMeter

START_S = 1000.0
NO_DRIVER = FakeNvml([], init_code=int(pynvml.NVML_ERROR_DRIVER_NOT_LOADED))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START_S)


@pytest.fixture(autouse=True)
def _all_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def cards(clock: FakeClock, *watts: float) -> list[FakeGpu]:
    """Cards GPU-a, GPU-b and so on, that draw so much."""

    def card(uuid: str, draws_w: float) -> FakeGpu:
        return FakeGpu(uuid, limit_w=400.0, energy_j=lambda: draws_w * clock())

    return [card(f"GPU-{chr(ord('a') + i)}", draws_w) for i, draws_w in enumerate(watts)]


def nvml_and_cpu(clock: FakeClock) -> dict[str, Meter]:
    return {
        "nvml": NvmlMeter(clock=clock, sleep=clock.advance),
        "cpu_model": FunctionMeter(lambda: 10.0 * clock(), label="modelled"),
    }


def measured(
    clock: FakeClock, meters: Mapping[str, Meter], gpus: Sequence[str] | None = None, **options: Any
) -> Window:
    """Ten seconds."""
    window = Window(meters, clock=clock, period_s=None, gpus=gpus, **options)
    with window:
        clock.advance(10.0)
    return window


def health(window: Window) -> Health:
    assert window.health is not None
    return window.health


def energy_flags(window: Window) -> list[str]:
    return [flag for flag in health(window).flags if flag in ENERGY_FLAGS]


def rows(window: Window) -> dict[str, float]:
    """To a tenth of a joule: counters come in millijoules."""
    return {row.component: round(row.energy_j, 1) for row in window.energy.rows}


@pytest.mark.parametrize("visible", [None, "0", "1", "", "GPU-a"])
@pytest.mark.parametrize("uuid", ["GPU-b", "b"])
def test_a_run_is_charged_for_the_gpus_that_it_uses_whatever_is_visible(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, visible: str | None, uuid: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    install(monkeypatch, FakeNvml(cards(clock, 70.0, 300.0, 90.0)))
    window = measured(clock, nvml_and_cpu(clock), [uuid])
    assert rows(window) == {"gpu1": 3000.0, "cpu": 100.0}
    assert window.energy_j == pytest.approx(3100.0, abs=0.01)
    assert [(device["index"], device["uuid"]) for device in window.devices] == [(1, "GPU-b")]
    assert energy_flags(window) == []


def test_without_a_choice_a_run_is_charged_for_what_is_visible(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,0")
    install(monkeypatch, FakeNvml(cards(clock, 70.0, 300.0, 90.0)))
    window = measured(clock, nvml_and_cpu(clock))
    assert rows(window) == {"gpu2": 900.0, "gpu0": 700.0, "cpu": 100.0}
    assert energy_flags(window) == []


def test_a_window_is_charged_for_the_card_to_which_cuda_gives_the_number(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    """The fastest card is the last on the bus, so it is CUDA's 0. Before, NVML's 0 was charged."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.delenv("CUDA_DEVICE_ORDER")
    monkeypatch.setattr(visible_gpus, "ask_cuda", lambda visible, order: ["c"])
    install(monkeypatch, FakeNvml(cards(clock, 70.0, 90.0, 300.0)))
    tracker = mock.Mock(spec=CodeCarbonTracker, result=None, unavailable=None)
    window = measured(clock, nvml_and_cpu(clock), codecarbon=tracker)
    assert rows(window) == {"gpu2": 3000.0, "cpu": 100.0}
    assert [(one["index"], one["chosen_by"]) for one in window.devices] == [(2, "cuda")]
    tracker.prepare.assert_called_once_with([2])  # CodeCarbon would read NVML's number


def test_a_run_without_a_gpu_is_charged_for_none(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    fake = FakeNvml(cards(clock, 70.0))
    install(monkeypatch, fake)
    window = measured(clock, nvml_and_cpu(clock), [])
    assert rows(window) == {"cpu": 100.0}
    assert window.energy_j == pytest.approx(100.0)
    assert (window.devices, energy_flags(window)) == ([], [])
    assert [(one.meter, one.reason) for one in window.unavailable if one.meter != "cgroup"] == [
        ("nvml", "the run uses no GPU")
    ]


def test_a_meter_of_a_users_own_is_limited_to_the_gpus_of_the_run(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    install(monkeypatch, FakeNvml(cards(clock, 70.0, 300.0)))
    own: dict[str, Meter] = {
        name: FunctionMeter(lambda: 50.0 * clock(), component=name) for name in ("gpu0", "gpu1")
    }
    window = measured(clock, own, ["GPU-b"])
    assert rows(window) == {"gpu1": 500.0}
    assert window.energy_j == pytest.approx(500.0)


def test_a_meter_without_gpus_works_without_a_driver(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    install(monkeypatch, NO_DRIVER)
    own = {"own": FunctionMeter(lambda: 50.0 * clock(), component="gpu0")}
    window = measured(clock, own, ["x"])
    assert window.energy_j == pytest.approx(500.0)
    assert energy_flags(window) == []


def no_joules(window: Window) -> None:
    """No total anywhere, for one reason that leaves time and quality as they are."""
    fields = window.record_fields()
    names = ("energy_total_j", "energy_label", "energy_error_frac")
    assert [fields[name] for name in names] == [None] * 3
    assert window.phases.result is None
    assert "gpu_energy_missing" in health(window).flags
    assert health(window).comparable == (set(health(window).flags) <= set(ENERGY_FLAGS))


def cpu_only(clock: FakeClock, label: EnergyLabel = "modelled") -> dict[str, Meter]:
    return {"cpu_model": FunctionMeter(lambda: 10.0 * clock(), label=label)}


@pytest.mark.parametrize("gpus", [None, ["GPU-a"]])
@pytest.mark.parametrize("with_cpu", [True, False])
def test_a_run_on_a_gpu_that_nothing_measures_has_no_joules(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, gpus: list[str] | None, with_cpu: bool
) -> None:
    """As with meter=cpu_model, or meter=none."""
    install(monkeypatch, FakeNvml(cards(clock, 300.0)))
    window = measured(clock, cpu_only(clock) if with_cpu else {}, gpus)
    no_joules(window)
    assert rows(window) == ({"cpu": 100.0} if with_cpu else {})
    assert [device["uuid"] for device in window.devices] == ["GPU-a"]


def test_an_evaluation_of_such_a_run_has_none_either(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    install(monkeypatch, FakeNvml(cards(clock, 300.0)))
    with Window(cpu_only(clock), clock=clock, period_s=None) as window:
        clock.advance(1.0)
        at_edge = window.phases.switch("eval")
        assert (at_edge.total_j, window.read().total_j) == (None, None)
        assert window.phases.book.energy_j("train") is None


def test_a_constant_does_not_count_as_a_measurement_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    install(monkeypatch, FakeNvml(cards(clock, 300.0)))
    constant = FunctionMeter(lambda: 250.0 * clock(), component="gpu0", label="constant")
    window = measured(clock, {"constant": constant, **cpu_only(clock)}, ["GPU-a"])
    no_joules(window)
    assert rows(window) == {"gpu0": 2500.0, "cpu": 100.0}


@pytest.mark.parametrize("gpus", [None, ["a", "b"]])
def test_one_card_of_two_without_joules_takes_the_total_and_not_the_other_row(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, gpus: list[str] | None
) -> None:
    found = cards(clock, 300.0, 200.0)
    found[1].codes["energy"] = int(pynvml.NVML_ERROR_UNKNOWN)
    install(monkeypatch, FakeNvml(found))
    window = measured(clock, nvml_and_cpu(clock), gpus)
    no_joules(window)
    assert rows(window) == {"gpu0": 3000.0, "cpu": 100.0}
    (refused,) = [one.reason for one in window.unavailable if one.meter == "nvml"]
    assert refused.startswith("gpu1: Fake RTX: energy counter: Unknown Error; instantaneous power")


@pytest.mark.parametrize(
    ("visible", "gpus"), [("MIG-1", None), (None, ["MIG-1"]), ("0", ["MIG-1"])]
)
def test_a_run_on_an_instance_of_mig_has_no_joules_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
    clock: FakeClock,
    visible: str | None,
    gpus: list[str] | None,
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    install(monkeypatch, FakeNvml(cards(clock, 300.0)))
    window = measured(clock, nvml_and_cpu(clock), gpus)
    no_joules(window)
    assert rows(window) == {"cpu": 100.0}
    reasons = {one.meter: one.reason for one in window.unavailable}
    for meter in ("nvml", "gpu_telemetry"):
        assert "MIG-1: an instance of MIG has no energy counter of its own" in reasons[meter]
    assert [device["uuid"] for device in window.devices] == ["MIG-1"]


@pytest.mark.parametrize(
    ("fake", "gpus", "missing"),
    [
        (NO_DRIVER, None, False),  # nothing says that there is a GPU
        (NO_DRIVER, [], False),
        (NO_DRIVER, ["a"], True),
        (FakeNvml([FakeGpu("GPU-a")]), [], False),
        (FakeNvml([FakeGpu("GPU-a")]), ["b"], True),
    ],
)
def test_only_a_run_that_uses_a_gpu_misses_its_joules(
    monkeypatch: pytest.MonkeyPatch,
    clock: FakeClock,
    fake: FakeNvml,
    gpus: list[str] | None,
    missing: bool,
) -> None:
    install(monkeypatch, fake)
    window = measured(clock, cpu_only(clock), gpus)
    assert (window.energy_j is None) == missing
    assert energy_flags(window) == ["gpu_energy_missing"] * missing


def test_hidden_gpus_are_none_of_the_runs(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    install(monkeypatch, FakeNvml(cards(clock, 300.0)))
    window = measured(clock, cpu_only(clock))
    assert window.energy_j == pytest.approx(100.0)
    assert energy_flags(window) == []


def test_a_window_of_time_alone_never_misses_joules(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    install(monkeypatch, FakeNvml(cards(clock, 300.0)))
    with Window.time_only(lambda: None) as window:
        pass
    assert (energy_flags(window), window.devices) == ([], [])


def test_devices_are_listed_although_nothing_can_be_asked_of_them(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    lost = FakeGpu("GPU-a", lost=True)
    install(monkeypatch, FakeNvml([lost]))
    window = measured(clock, cpu_only(clock))
    assert [device["name"] for device in window.devices] == ["Fake RTX"]
    assert "gpu_energy_missing" in health(window).flags


def test_a_card_that_fails_in_the_middle_is_both(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    found = cards(clock, 300.0, 200.0)
    install(monkeypatch, FakeNvml(found))
    with Window(nvml_and_cpu(clock), clock=clock, period_s=None) as window:
        clock.advance(4.0)
        found[0].lost = True
        clock.advance(6.0)
    no_joules(window)
    assert set(energy_flags(window)) == {"meter_failed", "gpu_energy_missing"}
    assert rows(window) == {"gpu1": 2000.0, "cpu": 100.0}
    (failed,) = [one.reason for one in window.unavailable if one.meter == "nvml"]
    assert failed == "failed while measuring: gpu0: GPU is lost"


def test_the_failure_of_another_meter_does_not_count_as_a_missing_gpu(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    install(monkeypatch, NO_DRIVER)
    meter = ScriptedMeter([0.0, 0.0, 0.0, OSError("gone")])
    window = measured(clock, {"cpu": meter})
    assert energy_flags(window) == ["meter_failed"]
    assert window.energy_j is None


def test_what_fails_after_the_clock_is_nothing_to_its_joules(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    install(monkeypatch, NO_DRIVER)
    # Read when it is opened, when set-up ends, twice while the machine idles, at the start and at
    # the stop; then fails.
    meter = ScriptedMeter([0.0, 1.0, 2.0, 3.0, 4.0, 9.0, OSError("gone")], refresh_s=0.1)
    window = measured(clock, {"cpu": meter}, idle_s=1.0, sleep=clock.advance)
    assert (window.energy_j, energy_flags(window)) == (5.0, [])
    assert window.idle is not None
    assert window.idle.net_energy_j is None


def test_a_module_is_charged_once(monkeypatch: pytest.MonkeyPatch, clock: FakeClock) -> None:
    (module,) = cards(clock, 500.0)
    module.name = "NVIDIA GH200 480GB"
    install(monkeypatch, FakeNvml([module]))
    meters = {
        **nvml_and_cpu(clock),
        "rapl": FunctionMeter(lambda: 60.0 * clock(), component="cpu0"),
    }
    window = measured(clock, meters, ["GPU-a"])
    assert rows(window) == {"gpu0": 5000.0}
    assert "module" in window.energy.rows[0].source
    reasons = {one.meter: one.reason for one in window.unavailable}
    assert reasons["rapl"] == reasons["cpu_model"] == "the joules of gpu0 include cpu"
    # A run that does not use the module pays for its processors.
    window = measured(clock, {**nvml_and_cpu(clock)}, [])
    assert rows(window) == {"cpu": 100.0}


@pytest.mark.parametrize("gpus", [None, ["GPU-a"]])
def test_required_meters_of_which_none_measures_the_gpu_end_the_window_before_its_clock(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock, gpus: list[str] | None
) -> None:
    """Before, it measured, and had no total at its end."""
    install(monkeypatch, FakeNvml(cards(clock, 300.0)))
    window = Window(cpu_only(clock), clock=clock, gpus=gpus, required=True)
    with pytest.raises(MeterUnavailable, match="cpu_model: a GPU of the run would have no joules"):
        window.open()
    assert not window.clock.started
    assert energy_flags(measured(clock, cpu_only(clock), [], required=True)) == []


def test_a_module_that_its_name_does_not_show_is_charged_once(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    """By the power of the module. Before, the processor was added: 5,100 J."""
    (module,) = cards(clock, 500.0)
    module.name, module.power_w, module.module_w = "Next superchip", lambda: 300.0, lambda: 510.0
    install(monkeypatch, FakeNvml([module]))
    window = measured(clock, nvml_and_cpu(clock), ["GPU-a"])
    assert rows(window) == {"gpu0": 5000.0}
    assert window.energy_j == pytest.approx(5000.0, abs=0.01)


def test_a_required_meter_must_measure_every_gpu_of_the_run(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    found = cards(clock, 300.0, 200.0)
    found[1].codes["energy"] = int(pynvml.NVML_ERROR_UNKNOWN)
    install(monkeypatch, FakeNvml(found))
    nvml: dict[str, Meter] = {"nvml": NvmlMeter(clock=clock, sleep=clock.advance)}
    with pytest.raises(MeterUnavailable, match="no joules; nvml: gpu1: Fake RTX: energy counter"):
        measured(clock, nvml, required=True)
    assert measured(clock, nvml, ["GPU-a"], required=True).energy_j == pytest.approx(
        3000.0, abs=0.01
    )
