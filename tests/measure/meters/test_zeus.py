"""The adapter with the real Zeus: NVIDIA through pynvml, Apple through its measurement class."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from bench.measure.energy import EnergyWindow
from bench.measure.meter_set import MeterSet
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
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
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


def opened(uuids: list[str] | None = None) -> ZeusMeter:
    meter = ZeusMeter()
    meter.choose_gpus(uuids)
    meter.open()
    return meter


def counting(uuid: str, clock: FakeClock, watts: float = 250.0, **facts: Any) -> FakeGpu:
    return FakeGpu(uuid, limit_w=400.0, energy_j=lambda: watts * clock(), **facts)


@pytest.mark.parametrize(
    ("visible", "uuids", "names"),
    [
        (None, None, ["gpu0", "gpu1"]),
        ("1", None, ["gpu1"]),  # by NVML's number, as the other meters and telemetry have it
        ("GPU-b", None, ["gpu1"]),  # which Zeus itself does not understand
        ("0", ["b"], ["gpu1"]),
        (None, ["GPU-b"], ["gpu1"]),
    ],
)
def test_gpus_are_those_of_the_run(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, uuids: list[str] | None, names: list[str]
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    clock = FakeClock(1000.0)
    fake = FakeNvml([counting("GPU-a", clock, 100.0), counting("GPU-b", clock, 200.0)])
    install(monkeypatch, fake)
    meter = opened(uuids=uuids)
    assert [component.name for component in meter.components] == names
    clock.advance(1.0)
    joules = {name: reading.energy_j for name, reading in meter.read().items()}
    assert joules == pytest.approx({n: {"gpu0": 100.0, "gpu1": 200.0}[n] for n in names})


@pytest.mark.parametrize(
    ("visible", "uuids", "reason"),
    [
        ("MIG-1", None, "an instance of MIG has no energy counter of its own"),
        (None, ["GPU-x"], "GPU-x: no GPU has this UUID"),
        (None, [], "No observable SoC"),
    ],
)
def test_without_a_gpu_of_the_run_the_reason_is_given(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, uuids: list[str] | None, reason: str
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    install(monkeypatch, FakeNvml([counting("GPU-a", FakeClock(1000.0))]))
    with pytest.raises(MeterUnavailable, match=reason):
        opened(uuids=uuids)


def test_a_card_without_a_counter_is_refused_and_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(1000.0)
    old = FakeGpu("GPU-b", "Old card", architecture=pynvml.NVML_DEVICE_ARCH_PASCAL, limit_w=200.0)
    install(monkeypatch, FakeNvml([counting("GPU-a", clock), old]))
    meter = opened()
    assert [component.name for component in meter.components] == ["gpu0"]
    assert meter.refused == {"gpu1": "Old card has no energy counter"}


def test_a_card_that_is_lost_later_has_failed_and_the_other_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = FakeClock(1000.0)
    gpus = [counting("GPU-a", clock), counting("GPU-b", clock)]
    install(monkeypatch, FakeNvml(gpus))
    meter = opened()
    gpus[0].lost = True
    clock.advance(1.0)
    readings = meter.read()
    assert readings["gpu0"].failure is not None
    assert readings["gpu1"].energy_j == pytest.approx(250.0)


@pytest.mark.parametrize(
    ("later_j", "reason"),
    [
        (lambda: 100.0, "gpu0: its joules fell from 0 to -249900"),
        (lambda: 250_000.0, "gpu0: its counter has not moved for 10 s"),
        (lambda: 999_000.0, "gpu0: it gained 749000 J in 10 s, more than 680 W give"),
    ],
)
def test_a_counter_whose_readings_cannot_be_has_failed(
    monkeypatch: pytest.MonkeyPatch, later_j: Callable[[], float], reason: str
) -> None:
    clock = FakeClock(1000.0)
    gpu = counting("GPU-a", clock)
    install(monkeypatch, FakeNvml([gpu]))
    meters = MeterSet({"zeus": ZeusMeter()}, clock=clock)
    meters.open()
    window = EnergyWindow(meters)
    window.start()
    clock.advance(10.0)
    gpu.energy_j = later_j
    assert window.read().total_j is None
    assert meters.unavailable[-1].reason == f"failed while measuring: {reason}"


@pytest.mark.parametrize(
    ("name", "module_w", "included", "refused"),
    [
        ("Next superchip", 255.0, ("cpu", "dram"), None),
        ("NVIDIA GH200 480GB", 700.0, (), None),  # the counter is that of the card
        ("NVIDIA GB200", 255.0, (), "counts a whole module, of which the card is one of several"),
    ],
)
def test_what_the_counter_of_a_module_counts_is_found_by_its_power(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    module_w: float,
    included: tuple[str, ...],
    refused: str | None,
) -> None:
    """The counter goes at 250 W."""
    clock = FakeClock(1000.0)
    card_w = 245.0 if module_w > 500 else 100.0
    gpu = counting("GPU-a", clock, name=name, power_w=lambda: card_w, module_w=lambda: module_w)
    install(monkeypatch, FakeNvml([gpu]))
    meter = ZeusMeter(clock=clock, sleep=clock.advance)
    if refused is not None:
        with pytest.raises(MeterUnavailable, match=refused):
            meter.open()
        return
    meter.open()
    assert meter.components[0].includes == included


def test_a_module_includes_its_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = counting("GPU-a", FakeClock(1000.0), name="NVIDIA GH200 480GB")
    install(monkeypatch, FakeNvml([gpu]))
    (component,) = opened().components
    assert component.includes == ("cpu", "dram")
    assert component.source == "zeus(NVIDIA GH200 480GB, the whole module)"


class OtherCard:
    """Of another maker, as Zeus shows it."""

    def supports_get_total_energy_consumption(self) -> bool:
        return True

    def get_total_energy_consumption(self) -> int:
        return 5_000

    def get_name(self) -> str:
        return "MI300X"

    def get_power_management_limit(self) -> int:
        return 750_000


@pytest.mark.parametrize(
    ("uuids", "names"), [(None, ["gpu0", "gpu1"]), (["x", "y"], ["gpu0", "gpu1"]), (["x"], None)]
)
def test_of_cards_without_nvml_all_or_none_are_the_runs(
    monkeypatch: pytest.MonkeyPatch, uuids: list[str] | None, names: list[str] | None
) -> None:
    monkeypatch.setattr(zeus_gpu, "nvml_is_available", lambda: False)
    cards = SimpleNamespace(gpus=[OtherCard(), OtherCard()])
    monkeypatch.setattr(zeus_gpu, "get_gpus", lambda: cards)
    if names is None:
        with pytest.raises(MeterUnavailable, match="which 1 of 2 GPUs the run uses"):
            opened(uuids=uuids)
    else:
        assert [component.name for component in opened(uuids=uuids).components] == names


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
