"""Settings of GPUs that bench.doctor speaks of."""

from __future__ import annotations

from dataclasses import replace

from bench.diagnosis.gpus import gpu_findings
from bench.measure.gpu import GpuDevice
from bench.measure.gpu_settings import GpuSettings

USUAL = GpuSettings(
    power_limit_w=300.0, power_limit_default_w=300.0, ecc=True, mig=False, persistence=True
)


def told(settings: GpuSettings) -> list[tuple[str, str, str]]:
    device = GpuDevice(index=1, uuid="GPU-a", name="Fake H100", settings=settings)
    return [(each.state, each.text, each.remedy) for each in gpu_findings([device.facts()])]


def test_a_card_as_it_comes_is_only_named() -> None:
    assert told(USUAL) == [("good", "Fake H100", "")]


def test_a_card_that_tells_nothing_is_only_named() -> None:
    assert told(GpuSettings()) == [("good", "Fake H100", "")]


def test_what_makes_it_differ_is_told_with_the_command_that_undoes_it() -> None:
    other = replace(USUAL, power_limit_w=200.0, ecc=False, mig=True, persistence=False)
    _, *rest = told(other)
    assert [(state, remedy) for state, _, remedy in rest] == [
        ("note", "sudo nvidia-smi --persistence-mode=1"),
        ("note", "sudo nvidia-smi --power-limit=300"),
        ("note", ""),
        ("bad", "sudo nvidia-smi --multi-instance-gpu=0, if nobody else uses the card"),
    ]
    assert rest[1][1] == "its power limit is 200 W, where 300 W is usual"
