from __future__ import annotations

import pynvml
import pytest

from bench.measure.meters.base import MeterUnavailable
from bench.measure.nvml import GpuDevice, GpuReader, visible_indices
from tests.fake_nvml import FakeGpu, FakeNvml, OldFakeNvml, install

UUIDS = ["GPU-aa11", "GPU-aa22", "GPU-bb33"]


def test_busy_share_and_memory_of_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml([FakeGpu("GPU-a", busy_pct=75, used_bytes=123), FakeGpu("GPU-b")])
    install(monkeypatch, fake)
    reader = GpuReader()
    reader.open()
    assert reader.devices[0] == GpuDevice(index=0, uuid="GPU-a", name="Fake RTX")
    assert reader.samples() == [
        ("gpu0", "gpu_busy_frac", 0.75),
        ("gpu0", "gpu_memory_used_bytes", 123.0),
        ("gpu1", "gpu_busy_frac", 0.5),
        ("gpu1", "gpu_memory_used_bytes", float(1 << 30)),
    ]
    reader.close()
    assert fake.num_open == 0


def told(reader: GpuReader) -> dict[str, float]:
    return {metric: value for _, metric, value in reader.samples()}


def test_power_temperature_clock_and_reasons_are_told_where_the_card_tells_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = FakeGpu(
        "GPU-a", power_w=lambda: 250.5, temperature_c=64, sm_clock_mhz=1410, reasons=0, pids=[]
    )
    install(monkeypatch, FakeNvml([gpu]))
    reader = GpuReader()
    reader.open()
    assert told(reader) == {
        "gpu_busy_frac": 0.5,
        "gpu_memory_used_bytes": float(1 << 30),
        "gpu_power_w": 250.5,
        "gpu_temperature_c": 64.0,
        "gpu_sm_clock_mhz": 1410.0,
        "gpu_thermal_slowdown": 0.0,
        "gpu_power_brake": 0.0,
        "gpu_power_cap": 0.0,
        "gpu_foreign_processes": 0.0,
    }


@pytest.mark.parametrize("library", [FakeNvml, OldFakeNvml])
@pytest.mark.parametrize(
    ("reasons", "raised"),
    [
        (0x1, set()),  # idle
        (0x4, {"gpu_power_cap"}),
        (0x20, {"gpu_thermal_slowdown"}),
        (0x40 | 0x8, {"gpu_thermal_slowdown"}),  # the hardware slows down, because of heat
        (0x80 | 0x8, {"gpu_power_brake"}),
        (0x8, {"gpu_power_brake"}),  # a card that does not say why
        (0x80 | 0x40, {"gpu_power_brake", "gpu_thermal_slowdown"}),
    ],
)
def test_reasons_of_a_slowdown(
    monkeypatch: pytest.MonkeyPatch, library: type[FakeNvml], reasons: int, raised: set[str]
) -> None:
    install(monkeypatch, library([FakeGpu("GPU-a", reasons=reasons)]))
    reader = GpuReader()
    reader.open()
    assert {metric for metric, value in told(reader).items() if value == 1.0} == raised


@pytest.mark.parametrize(
    ("pids", "num_foreign"),
    [
        ([], 0),
        ([10], 0),
        ([10, 11], 0),  # a worker of ours
        ([10, 99], 1),
        ([99], 0),  # in a container our number is another: one is taken for ours
        ([98, 99], 1),
    ],
)
def test_foreign_processes_are_those_that_are_not_the_runs(
    monkeypatch: pytest.MonkeyPatch, pids: list[int], num_foreign: int
) -> None:
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a", pids=pids)]))
    reader = GpuReader(own_pids=lambda: {10, 11})
    reader.open()
    assert told(reader)["gpu_foreign_processes"] == num_foreign


def test_what_may_not_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu("GPU-a", reasons=0, codes={"reasons": int(pynvml.NVML_ERROR_NO_PERMISSION)})
    install(monkeypatch, FakeNvml([gpu]))
    reader = GpuReader()
    reader.open()
    assert set(told(reader)) == {"gpu_busy_frac", "gpu_memory_used_bytes"}


def test_only_visible_gpus_are_read_and_keep_their_index(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeNvml([FakeGpu(uuid) for uuid in UUIDS]))
    reader = GpuReader(visible="GPU-bb")
    reader.open()
    assert {device for device, _, _ in reader.samples()} == {"gpu2"}


def test_what_a_gpu_does_not_tell_is_absent_and_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a", busy_pct=None)]))
    reader = GpuReader()
    reader.open()
    assert [metric for _, metric, _ in reader.samples()] == ["gpu_memory_used_bytes"]


def test_a_gpu_that_is_lost_later_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = FakeGpu("GPU-a")
    install(monkeypatch, FakeNvml([gpu]))
    reader = GpuReader()
    reader.open()
    gpu.lost = True
    with pytest.raises(pynvml.NVMLError):
        reader.samples()


def test_a_missing_driver_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeNvml([], init_code=pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
    with pytest.raises(MeterUnavailable, match="no NVIDIA driver"):
        GpuReader().open()


def test_a_gpu_that_is_lost_at_the_start_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml([FakeGpu("GPU-a", lost=True)])
    install(monkeypatch, fake)
    with pytest.raises(MeterUnavailable, match="NVML"):
        GpuReader().open()
    assert fake.num_open == 0


def test_hidden_gpus_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml([FakeGpu("GPU-a")])
    install(monkeypatch, fake)
    with pytest.raises(MeterUnavailable, match="none of 1 GPUs is visible: CUDA_VISIBLE_DEVICES="):
        GpuReader(visible="").open()
    assert fake.num_open == 0


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        ("0,-1,1", [0]),  # what follows an entry that names no device does not count
        ("0,7", [0]),
        ("1,1", [1]),
        ("GPU-bb33", [2]),
        ("GPU-bb", [2]),
        ("GPU-aa", []),  # two cards begin so
        (" 1 , 2 ", [1, 2]),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(
    visible: str | None, indices: list[int]
) -> None:
    assert visible_indices(visible, UUIDS) == indices
