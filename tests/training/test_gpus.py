"""What a run of bench.train sets on its GPUs, from the configuration to the card and back.

The network trains on the CPU; torch is only asked for the UUID of its GPU, and the driver library
is simulated.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bench.config.train import TrainerConfig
from bench.core.gpu_notes import has_notes
from bench.launch.needs import refusal
from bench.runs.instruments import build_window
from bench.training import gpus, job
from bench.training.plan import device_needs
from tests.cli.planning import plan
from tests.fake_nvml import FakeGpu, FakeNvml, install
from tests.training.in_process import QUICK, Make

pytestmark = pytest.mark.xdist_group("jobs")  # one worker, so that one server forks them


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    fake = FakeGpu("GPU-a", limit_w=300.0, limit_range_w=(100.0, 450.0))
    install(monkeypatch, FakeNvml([fake]))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for module in (gpus, job):
        monkeypatch.setattr(module, "gpu_uuids", lambda _: ["a"])
    return fake


@pytest.mark.parametrize("fails", [False, True])
def test_the_card_is_limited_from_set_up_to_the_end_of_a_run(
    make: Make, tmp_path: Path, card: FakeGpu, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    at_set_up: list[float | None] = []

    def looking(*arguments: Any, **options: Any) -> Any:
        at_set_up.append(card.limit_w)
        return build_window(*arguments, **options)

    monkeypatch.setattr(job, "build_window", looking)
    config = plan(tmp_path, *QUICK).config
    limited = {"accelerator": "auto", "gpu_power_limit_w": 200.0}
    size = 99_999 if fails else 4  # larger than the data
    record, _ = make(config, trainer=limited, budget={"max_epochs": 0.1}, batch_size=size)
    assert record.status == ("failed" if fails else "ok"), record.error
    (gpu,) = record.host["gpus"]
    assert gpu["power_limit_w"] == 200.0  # read back from the card
    assert at_set_up == [200.0]
    assert (card.limit_w, has_notes()) == (300.0, False)


def test_the_plan_asks_the_card_before_anything_is_measured(card: FakeGpu) -> None:
    (need,) = device_needs(TrainerConfig(gpu_power_limit_w=50.0), "32")
    reason = refusal(need)
    assert reason == "trainer.gpu_power_limit_w=50: gpu0 (Fake RTX) takes from 100 to 450 W"
    (need,) = device_needs(TrainerConfig(gpu_power_limit_w=200.0), "32")
    assert refusal(need) is None
    assert card.limit_w == 300.0
    assert device_needs(TrainerConfig(), "32") == []
