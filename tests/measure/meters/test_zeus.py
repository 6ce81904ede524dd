"""The adapter on the real Zeus: NVIDIA through its pynvml, Apple's chip through its measurement."""

from __future__ import annotations

from typing import Any

import pytest

from bench.measure.meters.base import MeterUnavailable
from bench.measure.meters.zeus import ZeusMeter
from tests.fake_nvml import FakeGpu, FakeNvml, install
from tests.fakes import FakeClock

zeus_soc = pytest.importorskip("zeus.device.soc")
zeus_gpu = pytest.importorskip("zeus.device.gpu")
apple = pytest.importorskip("zeus.device.soc.apple")


@pytest.fixture(autouse=True)
def _no_devices_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeus keeps what it found for the life of the process."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for available in ("nvml_is_available", "amdsmi_is_available"):
        getattr(zeus_gpu, available).cache_clear()
    monkeypatch.setattr(zeus_gpu, "_gpus", None)
    monkeypatch.setattr(zeus_soc, "_soc", None)


class AppleSilicon:
    """Gives measurements of Zeus's own class."""

    def __init__(self, **fields_mj: int) -> None:
        self.fields_mj = fields_mj

    def get_total_energy_consumption(self) -> Any:
        return apple.AppleSiliconMeasurement(**self.fields_mj)


def test_without_a_device_the_reasons_are_those_of_zeus() -> None:
    with pytest.raises(MeterUnavailable, match=r"NVML and AMDSMI unavailable.*; No observable SoC"):
        ZeusMeter().open()


def test_a_gpu_gives_the_joules_of_its_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock(1000.0)
    gpu = FakeGpu("GPU-a", limit_w=400.0, energy_j=lambda: 250.0 * clock())
    install(monkeypatch, FakeNvml([gpu]))
    meter = ZeusMeter()
    meter.open()
    (component,) = meter.components
    assert (component.name, component.source) == ("gpu0", "zeus(Fake RTX)")
    assert component.edge_error_j == pytest.approx(0.1 * 1.7 * 400.0)
    clock.advance(4.0)
    assert meter.read()["gpu0"].energy_j == pytest.approx(1000.0)


def test_a_system_on_a_chip_gives_its_parts_in_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    soc = AppleSilicon(cpu_total_mj=5_000, gpu_mj=1_000, dram_mj=100)
    monkeypatch.setattr(zeus_soc, "_soc", soc)
    meter = ZeusMeter()
    meter.open()
    assert {c.name: (c.source, c.label) for c in meter.components} == dict.fromkeys(
        ("cpu", "dram", "gpu0"), ("zeus(AppleSilicon)", "modelled")
    )
    soc.fields_mj = {"cpu_total_mj": 7_500, "gpu_mj": 1_000, "dram_mj": 400}
    joules = {name: reading.energy_j for name, reading in meter.read().items()}
    assert joules == pytest.approx({"cpu": 2.5, "dram": 0.3, "gpu0": 0.0})
    meter.close()


def test_a_device_that_fails_later_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    soc = AppleSilicon(cpu_total_mj=0)
    monkeypatch.setattr(zeus_soc, "_soc", soc)
    meter = ZeusMeter()
    meter.open()

    def fail() -> Any:
        raise zeus_soc.ZeusSoCInitError("gone")

    monkeypatch.setattr(soc, "get_total_energy_consumption", fail)
    with pytest.raises(MeterUnavailable, match="gone"):
        meter.read()
