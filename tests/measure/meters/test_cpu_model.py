from __future__ import annotations

import re

import pytest

from bench.measure.meters.base import MeterUnavailable
from bench.measure.meters.cpu_model import CpuModelMeter, CpuWatts, choose_watts
from bench.measure.os.system import num_cpus
from tests.fakes import FakeClock


def no_table(name: str) -> float | None:
    return None


def test_energy_is_idle_power_times_time_plus_the_rest_times_the_busy_share() -> None:
    clock, busy = FakeClock(), FakeClock(now_s=500.0)
    meter = CpuModelMeter(idle_w=10.0, full_w=110.0, clock=clock, busy_s=busy)
    meter.open()
    clock.advance(20.0)
    busy.advance(4.0 * num_cpus())  # each CPU busy for 4 s of 20
    # 10 W * 20 s + (110 - 10) W * 4 s
    assert meter.read()["cpu"].energy_j == pytest.approx(600.0)
    [component] = meter.components
    assert (component.name, component.label) == ("cpu", "modelled")
    assert component.source == "cpu_model(config)"
    assert component.refresh_s == pytest.approx(0.01)


def test_an_idle_and_a_full_machine_draw_the_two_powers() -> None:
    clock, busy = FakeClock(), FakeClock()
    meter = CpuModelMeter(idle_w=10.0, full_w=110.0, clock=clock, busy_s=busy)
    meter.open()
    clock.advance(1.0)
    idle_j = meter.read()["cpu"].energy_j
    clock.advance(1.0)
    busy.advance(1.0 * num_cpus())
    assert idle_j == pytest.approx(10.0)
    assert meter.read()["cpu"].energy_j - idle_j == pytest.approx(110.0)


def test_the_real_machine_can_be_read() -> None:
    meter = CpuModelMeter(full_w=50.0)
    meter.open()
    first_j = meter.read()["cpu"].energy_j
    assert 0 <= first_j <= meter.read()["cpu"].energy_j
    assert meter.components[0].source == "cpu_model(config)"


def test_watts_from_the_configuration_come_first() -> None:
    watts = choose_watts(3.0, 30.0, cpu_name="x", num_cpus=8, tdp_w=lambda name: 99.0)
    assert watts == CpuWatts(idle_w=3.0, full_w=30.0, origin="config")


def test_then_the_table_for_each_socket_with_a_tenth_for_idle() -> None:
    watts = choose_watts(
        None, None, cpu_name="Xeon 1", num_cpus=8, num_sockets=2, tdp_w=lambda name: 100.0
    )
    assert watts == CpuWatts(idle_w=20.0, full_w=200.0, origin="codecarbon table: Xeon 1")


def test_then_four_watts_a_thread() -> None:
    watts = choose_watts(None, None, cpu_name="x", num_cpus=8, tdp_w=no_table)
    assert watts.full_w == 32.0
    assert watts.idle_w == pytest.approx(3.2)
    assert watts.origin == "default 4 W per thread"


def test_a_configured_idle_power_is_told_apart_from_the_table() -> None:
    watts = choose_watts(1.0, None, cpu_name="x", num_cpus=8, tdp_w=no_table)
    assert watts.origin == "default 4 W per thread, idle from config"


@pytest.mark.parametrize(
    ("idle_w", "full_w", "message"),
    [
        (-1.0, 30.0, "meter.sources.cpu_model.idle_w=-1.0: must be a number of at least 0"),
        (1.0, float("nan"), "meter.sources.cpu_model.full_w=nan"),
        (40.0, 30.0, "meter.sources.cpu_model.idle_w=40: must not be above full_w=30 (config)"),
        (40.0, None, "meter.sources.cpu_model.idle_w=40: must not be above full_w=32 (default"),
    ],
)
def test_watts_that_cannot_be_are_refused(
    idle_w: float, full_w: float | None, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        choose_watts(idle_w, full_w, cpu_name="x", num_cpus=8, tdp_w=no_table)


def test_wrong_watts_are_refused_before_anything_is_read() -> None:
    with pytest.raises(ValueError, match="idle_w=2: must not be above full_w=1"):
        CpuModelMeter(idle_w=2.0, full_w=1.0)
    with pytest.raises(ValueError, match=r"idle_w=-2\.0: must be a number of at least 0"):
        CpuModelMeter(idle_w=-2.0)


def test_a_system_without_cpu_times_makes_it_unavailable() -> None:
    def refuse() -> float:
        raise OSError("no /proc")

    with pytest.raises(MeterUnavailable, match="no CPU times: no /proc"):
        CpuModelMeter(full_w=1.0, busy_s=refuse).open()


def test_reading_a_closed_meter_is_refused() -> None:
    with pytest.raises(MeterUnavailable, match="not open"):
        CpuModelMeter(full_w=1.0).read()
