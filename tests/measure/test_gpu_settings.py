"""How cards are set up, as NVML tells it, and where it goes in a record."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from bench.measure.gpu_reader import GpuReader
from bench.measure.meters.base import MeterUnavailable
from bench.measure.window import Window
from bench.runs.measured import node_facts
from tests.fake_nvml import FakeGpu, FakeNvml, install

SETTINGS: dict[str, Any] = {
    "memory_bytes": 85_520_809_984,
    "power_limit_w": 500.0,
    "power_limit_default_w": 700.0,
    "power_limit_min_w": 200.0,
    "power_limit_max_w": 750.0,
    "application_clock_mhz": 1410,
    "application_clock_default_mhz": 1980,
    "max_clock_mhz": 1995,
    "ecc": True,
    "mig": False,
    "persistence": True,
    "vbios": "96.00.74.00.01",
}


def card(uuid: str, **fields: Any) -> FakeGpu:
    known: dict[str, Any] = {
        "total_bytes": 85_520_809_984,
        "limit_w": 500.0,
        "default_limit_w": 700.0,
        "limit_range_w": (200.0, 750.0),
        "app_clock_mhz": 1410,
        "default_app_clock_mhz": 1980,
        "max_clock_mhz": 1995,
        "ecc_enabled": True,
        "mig_enabled": False,
        "persistence": True,
        "vbios": "96.00.74.00.01",
    }
    return FakeGpu(uuid, **(known | fields))


def test_the_settings_of_each_gpu_of_a_run_and_its_driver_are_facts_of_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    cudnn = SimpleNamespace(version=lambda: 92600)
    torch = SimpleNamespace(
        get_num_threads=lambda: 1,
        get_num_interop_threads=lambda: 1,
        cuda=SimpleNamespace(is_initialized=lambda: False),
        version=SimpleNamespace(cuda="13.2"),
        backends=SimpleNamespace(cudnn=cudnn),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    fake = FakeNvml([card("GPU-a"), FakeGpu("GPU-b")], driver="570.86.15", cuda=12080)
    fake.is_confidential = True
    install(monkeypatch, fake)
    window = Window({}, gpus=["a", "b"], shared=True)
    with window:
        pass
    host = node_facts(1, {}, window, telemetry=None, phase_energy=None).host
    whole, silent = host["gpus"]
    known = {"name": "Fake RTX", "chosen_by": "uuid"}
    assert whole == {"index": 0, "uuid": "GPU-a", **known, **SETTINGS}
    # What a card does not tell is not known.
    assert silent == {"index": 1, "uuid": "GPU-b", **known, **dict.fromkeys(SETTINGS)}
    versions = {"driver": "570.86.15", "driver_cuda": "12.8", "torch_cuda": "13.2"}
    assert host["cuda"] == {**versions, "cudnn": "9.26.0", "confidential_computing": True}
    for number, text in ((8902, "8.9.2"), (None, None)):  # before version 9, and without cuDNN
        cudnn.version = lambda number=number: number
        host = node_facts(1, {}, window, telemetry=None, phase_energy=None).host
        assert host["cuda"]["cudnn"] == text


def test_a_divided_card_says_so_although_it_is_not_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, FakeNvml([card("GPU-a", mig_enabled=True)]))
    reader = GpuReader(gpus=["a"])
    with pytest.raises(MeterUnavailable):
        reader.open()
    assert [device.settings.mig for device in reader.devices] == [True]


def test_a_call_that_fails_leaves_its_setting_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = {
        "ecc": int(pynvml.NVML_ERROR_UNKNOWN),
        "limits": int(pynvml.NVML_ERROR_NO_PERMISSION),
    }
    install(monkeypatch, FakeNvml([card("GPU-a", codes=failing)]))
    reader = GpuReader()
    reader.open()
    expected = SETTINGS | dict.fromkeys(("ecc", "power_limit_min_w", "power_limit_max_w"))
    assert {name: reader.devices[0].facts()[name] for name in SETTINGS} == expected
    # A driver that has no such call has no confidential computing.
    unknown = {"driver": None, "driver_cuda": None}
    assert reader.driver == {**unknown, "confidential_computing": False}
