"""The meters of a configuration: refused before a launch, and limited to the GPUs of the run."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from bench.config.run import MeterConfig
from bench.config.train import BudgetConfig, TrainConfig
from bench.core.target import TargetConfig
from bench.measure.meters.base import Reading
from bench.runs.instruments import MeterCheck, build_window, refuse_wrong_meters
from tests.fake_nvml import FakeGpu, FakeNvml, install


def meters(*, required: bool = True, **sources: Mapping[str, Any]) -> MeterConfig:
    return MeterConfig(sources=dict(sources), required=required)


def measured() -> TrainConfig:
    return TrainConfig(
        target=TargetConfig(value=0.9, eval_every_samples=100),
        budget=BudgetConfig(max_epochs=1),
        meter=meters(required=False),
    )


class OwnMeter:
    """A meter of a user's own, as a configuration names it."""

    def __init__(self, fails: str | None = None) -> None:
        self.components: list[Any] = []
        self._fails = fails

    def open(self) -> None:
        if self._fails is not None:
            raise RuntimeError(self._fails)

    def read(self) -> Mapping[str, Reading]:
        return {}

    def close(self) -> None:
        """Nothing is held."""


OWN = f"{OwnMeter.__module__}.OwnMeter"
NVML = {"_target_": "bench.measure.meters.nvml.NvmlMeter"}


def test_a_required_meter_that_fails_is_refused_with_the_remedy() -> None:
    own = {"_target_": OWN, "fails": "no such device"}
    with pytest.raises(
        ValueError, match="meter=own: RuntimeError: no such device; meter=auto uses"
    ):
        refuse_wrong_meters(meters(own=own))
    refuse_wrong_meters(meters(own=own, required=False))
    refuse_wrong_meters(meters(own={"_target_": OWN}))


def test_a_wrong_meter_is_refused_whether_required_or_not() -> None:
    wrong = {"_target_": "bench.measure.meters.cpu_model.CpuModelMeter", "idle_w": 9, "full_w": 3}
    for required in (True, False):
        with pytest.raises(ValueError, match="idle_w=9: must not be above full_w=3"):
            refuse_wrong_meters(meters(cpu_model=wrong, required=required))


def test_a_required_meter_gets_the_gpus_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    rising_w = itertools.count(90)  # what changes at every look is watched for some ms only
    card = FakeGpu("GPU-a", power_w=lambda: float(next(rising_w)))
    fake = FakeNvml([card, FakeGpu("GPU-b", "Old card")])
    install(monkeypatch, fake)
    refuse_wrong_meters(meters(nvml=NVML), gpus=["a"])
    with pytest.raises(ValueError, match="no joules; nvml: gpu1: Old card: energy counter"):
        refuse_wrong_meters(meters(nvml=NVML), gpus=["a", "b"])
    with pytest.raises(ValueError, match="meter=nvml: the run uses no GPU; meter=auto uses"):
        refuse_wrong_meters(meters(nvml=NVML), gpus=[])
    assert fake.num_open == 0


@pytest.mark.parametrize(
    ("accelerator", "num_devices", "refused"),
    [("gpu", 1, True), ("gpu", 2, True), ("auto", 1, False), ("cpu", 1, False)],
)
@pytest.mark.parametrize("key", ["trainer.accelerator", "backend.device"])
def test_a_run_on_a_gpu_without_joules_is_refused_before_its_launch_if_meters_are_required(
    monkeypatch: pytest.MonkeyPatch, key: str, accelerator: str, num_devices: int, refused: bool
) -> None:
    """Before, it trained, and its record had no total. With auto, only the job knows."""
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a"), FakeGpu("GPU-b")]))
    group, name = key.split(".")
    device = "cuda" if (group, accelerator) == ("backend", "gpu") else accelerator
    config = {"meter": {"sources": {"own": {"_target_": OWN}}, "required": True, "idle_s": 0.0}}
    config[group] = {name: device, "devices": num_devices}
    if not refused:
        MeterCheck()(config)
        return
    with pytest.raises(ValueError, match=r"meter=own: a GPU of the run would have no joules; "):
        MeterCheck()(config)
    config["meter"]["required"] = False
    MeterCheck()(config)


def test_a_run_on_more_gpus_than_are_measured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card for a screen beside it is no matter; before, it was a reason to refuse any run."""
    rising_w = itertools.count(90)
    card = FakeGpu("GPU-a", power_w=lambda: float(next(rising_w)))
    install(monkeypatch, FakeNvml([card, FakeGpu("GPU-b", "Old card")]))
    refuse_wrong_meters(meters(nvml=NVML), num_gpus=1)
    refuse_wrong_meters(meters(nvml=NVML))  # with trainer=auto, the job decides
    with pytest.raises(ValueError, match="no joules; nvml: gpu1: Old card: energy counter"):
        refuse_wrong_meters(meters(nvml=NVML), num_gpus=2)


def test_the_window_of_a_configuration_has_the_gpus_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, FakeNvml([FakeGpu("GPU-a"), FakeGpu("GPU-b")]))
    window = build_window(measured(), lambda: None, gpus=["b"])
    window.open()
    assert [device["uuid"] for device in window.devices] == ["GPU-b"]
    window.close()
