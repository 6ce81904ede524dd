"""The real CodeCarbon with its own hardware detection, on a fake clock if time matters."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import cpuinfo
import pynvml
import pytest
from codecarbon import emissions_tracker
from codecarbon.core import gpu, gpu_nvidia, hardware_cache, resource_tracker, util
from codecarbon.core.emissions import Emissions
from codecarbon.external.hardware import GPU

from bench.measure import carbon
from bench.measure.carbon import (
    CodeCarbonTracker,
    carbon_intensity_gco2e_per_kwh,
    look_up_processor,
    processor_tdp_w,
)
from tests.fake_nvml import FakeGpu, FakeNvml, install
from tests.fakes import FakeClock


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory that is the home directory too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture(scope="module")
def processor() -> dict[str, Any]:
    """What CodeCarbon asks for to identify the processor, which runs a program for a second."""
    found: dict[str, Any] = cpuinfo.get_cpu_info()
    return found


@pytest.fixture(autouse=True)
def _the_program_runs_once(processor: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cpuinfo.get_cpu_info", lambda: dict(processor))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """CodeCarbon's clock, where it multiplies power with time."""
    fake = FakeClock(now_s=1000.0)
    monkeypatch.setattr(emissions_tracker, "time", SimpleNamespace(perf_counter=fake))
    return fake


def only_ram(monkeypatch: pytest.MonkeyPatch, watts: float = 20.0) -> None:
    """A machine of which CodeCarbon sees nothing but memory, at constant power."""

    def setup(tracker: Any, full_setup: Any) -> None:
        tracker.tracker._force_ram_power = watts
        tracker.set_RAM_tracking()

    monkeypatch.setattr(resource_tracker, "get_or_run_setup", setup)


def fail(*args: object, **kwargs: object) -> None:
    raise OSError("no such sensor")


def test_its_span_is_from_start_to_stop_and_leaves_preparation_out(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_ram(monkeypatch)
    tracker = CodeCarbonTracker(country_iso_code="USA")
    clock.advance(7.0)
    tracker.prepare()
    clock.advance(5.0)
    tracker.start()
    clock.advance(100.0)
    result = tracker.stop()
    assert result is not None
    assert result.energy_j == pytest.approx(20.0 * 100.0)  # 20 W for 100 s
    # 2000 J are 1/1800 kWh, at 369.473 g per kWh in the USA.
    assert result.emissions_gco2e == pytest.approx(369.473 / 1800, rel=1e-6)
    assert result.tracking_mode == "machine"
    assert result.version[0].isdigit()
    assert tracker.unavailable is None
    assert tracker.stop() == result


def test_starting_a_prepared_tracker_does_not_hold_up_the_run() -> None:
    tracker = CodeCarbonTracker(country_iso_code="USA")
    tracker.prepare()
    before_s = time.perf_counter()
    tracker.start()
    took_s = time.perf_counter() - before_s
    tracker.stop()
    assert took_s < 0.25  # 1 ms on an idle machine; unprepared it takes more than a second


@pytest.fixture
def _unknown_processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """CodeCarbon as in a new process, before and after the test."""
    monkeypatch.setenv("BENCH_PROCESSOR", "")  # so that it is restored, whatever a test sets
    monkeypatch.delenv("BENCH_PROCESSOR")
    forget_processor()
    yield
    forget_processor()


def forget_processor() -> None:
    hardware_cache.clear_cache()
    util.detect_cpu_model.cache_clear()
    carbon._looked_up = None


def detected() -> dict[str, Any]:
    """What a tracker finds out about the hardware."""
    tracker = CodeCarbonTracker(country_iso_code="USA")
    tracker.prepare()
    found: dict[str, Any] = tracker._tracker.get_detected_hardware()
    return found


@pytest.mark.usefixtures("_unknown_processor")
def test_a_processor_looked_up_ahead_is_the_one_that_a_tracker_finds() -> None:
    found = detected()
    forget_processor()
    look_up_processor()
    assert detected() == found
    assert util.detect_cpu_model.cache_info().misses == 1  # not asked again


@pytest.mark.usefixtures("_unknown_processor")
def test_another_processor_is_looked_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # A real look takes most of a second, and this is about when there is one.
    monkeypatch.setattr("cpuinfo.get_cpu_info", lambda: {"brand_raw": "found out"})
    look_up_processor()
    detected()
    assert util.detect_cpu_model.cache_info().misses == 1
    monkeypatch.setattr(carbon, "cpu_name", lambda: "another processor")
    detected()
    assert util.detect_cpu_model.cache_info() == (0, 1, 1, 1)  # of a new cache


@pytest.mark.usefixtures("_unknown_processor")
@pytest.mark.parametrize("is_of_this_one", [True, False])
def test_a_program_started_later_takes_the_answer_if_it_is_for_its_processor(
    is_of_this_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def find_out() -> dict[str, str]:
        asked.append("by another program")
        return {"brand_raw": "found out"}

    monkeypatch.setattr("cpuinfo.get_cpu_info", find_out)
    look_up_processor()
    kernel_name, found = json.loads(os.environ["BENCH_PROCESSOR"])
    assert (found, len(asked)) == ("found out", 1)
    forget_processor()  # as in the program that is started
    if not is_of_this_one:
        monkeypatch.setattr(carbon, "cpu_name", lambda: f"not {kernel_name}")
    look_up_processor()
    assert detected()["cpu_model"] == "found out"
    assert len(asked) == (1 if is_of_this_one else 2)


def test_two_at_once_leave_no_files_no_locks_and_nothing_on_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    trackers = [CodeCarbonTracker(country_iso_code="DEU") for _ in range(2)]
    for tracker in trackers:
        tracker.prepare()
        tracker.start()
    time.sleep(0.06)  # CodeCarbon drops what is shorter than 50 ms
    results = [tracker.stop() for tracker in trackers]
    assert all(result is not None and result.energy_j > 0 for result in results)
    assert list(tmp_path.iterdir()) == []
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    # Its messages are in ours, once for each tracker, and as information.
    lines = [record for record in caplog.records if "Multiple instances" in record.message]
    assert {(record.name, record.levelno) for record in lines} == {
        ("bench.measure.carbon", logging.INFO)
    }


def test_its_own_configuration_cannot_open_the_fence(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_ram(monkeypatch)
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nsave_to_file=True\npue=3.0\nallow_multiple_runs=False\n"
        "output_methods=csv\nemissions_endpoint=http://localhost:1\nco2_signal_api_token=secret\n"
    )
    monkeypatch.setenv("CODECARBON_LOG_LEVEL", "debug")
    monkeypatch.setenv("CODECARBON_FORCE_CARBON_INTENSITY_G_CO2E_KWH", "1")
    tracker = CodeCarbonTracker(country_iso_code="USA")
    tracker.prepare()
    tracker.start()
    clock.advance(180.0)
    result = tracker.stop()
    assert result is not None
    assert result.energy_j == pytest.approx(3600.0)  # 20 W for 180 s, with no surcharge
    assert result.emissions_gco2e == pytest.approx(0.369473, rel=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]


def test_what_it_swallows_while_preparing_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource_tracker, "get_or_run_setup", fail)
    tracker = CodeCarbonTracker(country_iso_code="USA")
    tracker.prepare()
    tracker.start()
    assert tracker.stop() is None
    assert tracker.unavailable is not None
    assert tracker.unavailable.meter == "codecarbon"
    assert "cannot look for hardware: OSError('no such sensor')" in tracker.unavailable.reason


def reason_for_no_result(clock: FakeClock) -> str:
    """Why a span of 10 s came to nothing."""
    tracker = CodeCarbonTracker(country_iso_code="USA")
    tracker.prepare()
    tracker.start()
    clock.advance(10.0)
    assert tracker.stop() is None
    assert tracker.unavailable is not None
    return tracker.unavailable.reason


def test_what_it_swallows_at_the_end_is_a_reason_and_never_zero(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_ram(monkeypatch)
    monkeypatch.setattr(Emissions, "get_private_infra_emissions", fail)
    assert reason_for_no_result(clock) == "gave no result; it logged OSError('no such sensor')"


def test_zero_joules_are_a_failure(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    only_ram(monkeypatch, watts=0.0)
    assert reason_for_no_result(clock) == "counted 0.0 kWh"


@pytest.mark.parametrize("gpus", [[2], [], [0, 2], None])
def test_it_counts_the_gpus_of_the_run(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch, gpus: list[int] | None
) -> None:
    """Whatever CUDA_VISIBLE_DEVICES says; left alone, it takes CUDA's numbers for NVML's."""
    watts = (100.0, 200.0, 300.0)

    def card(uuid: str, power_w: float) -> FakeGpu:
        return FakeGpu(uuid, energy_j=lambda: power_w * clock(), power_w=lambda: power_w)

    cards = [card(f"GPU-{number}", power_w) for number, power_w in enumerate(watts)]
    install(monkeypatch, FakeNvml(cards))
    monkeypatch.setattr(gpu_nvidia, "pynvml", pynvml)
    monkeypatch.setattr(gpu, "PYNVML_AVAILABLE", True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")

    def setup(tracker: Any, full_setup: Any) -> None:
        tracker.tracker._force_ram_power = 20.0
        tracker.set_RAM_tracking()
        tracker.tracker._hardware.append(GPU.from_utils(tracker.tracker._gpu_ids))

    monkeypatch.setattr(resource_tracker, "get_or_run_setup", setup)
    tracker = CodeCarbonTracker(country_iso_code="USA")
    tracker.prepare(gpus)
    tracker.start()
    clock.advance(100.0)
    result = tracker.stop()
    assert result is not None
    counted_w = sum(watts[number] for number in ([1] if gpus is None else gpus))
    assert result.energy_j == pytest.approx((20.0 + counted_w) * 100.0)


def test_without_preparation_there_is_no_result() -> None:
    tracker = CodeCarbonTracker(country_iso_code="USA")
    tracker.start()
    assert tracker.stop() is None
    assert tracker.unavailable is not None
    assert tracker.unavailable.reason == "was not prepared"


@pytest.mark.parametrize(
    ("period_s", "mode", "message"),
    [
        (0.0, "machine", "codecarbon.measure_period_s=0.0: must be positive"),
        (float("nan"), "machine", "codecarbon.measure_period_s=nan"),
        (1.0, "mashine", "codecarbon.tracking_mode=mashine: must be one of machine, process"),
    ],
)
def test_wrong_settings_are_refused(period_s: float, mode: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CodeCarbonTracker(
            country_iso_code="USA",
            measure_period_s=period_s,
            tracking_mode=cast(Literal["machine", "process"], mode),
        )


def test_carbon_intensity_is_that_of_the_country() -> None:
    # codecarbon 3.3.2, data/private_infra/global_energy_mix.json, year 2023.
    assert carbon_intensity_gco2e_per_kwh("USA") == pytest.approx(369.473)
    assert carbon_intensity_gco2e_per_kwh("FRA") == pytest.approx(56.039)


@pytest.mark.parametrize("code", ["US", "usa", "XXX", ""])
def test_an_unknown_country_is_refused_and_not_averaged(code: str) -> None:
    with pytest.raises(ValueError, match=f"grid.country_iso_code={code}: no such country.*USA"):
        carbon_intensity_gco2e_per_kwh(code)


@pytest.mark.parametrize(
    ("name", "tdp_w"),
    [
        # codecarbon 3.3.2, data/hardware/cpu_power.csv
        ("Intel(R) Core(TM) i7-7600U CPU @ 2.80GHz", 15.0),
        ("AMD EPYC 7763 64-Core Processor", 280.0),
        ("AMD EPYC", None),  # what a virtual machine may say of itself
        ("", None),
    ],
)
def test_the_power_of_a_processor_is_looked_up_by_its_name(name: str, tdp_w: float | None) -> None:
    assert processor_tdp_w(name) == tdp_w
