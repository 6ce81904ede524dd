"""What a run of bench.train sets on its GPUs, from the configuration to the card and back.

The network trains on the CPU; torch is only asked for the UUID of its GPU, and the driver library
is simulated.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.config.train import TrainConfig
from bench.config.trainer import TrainerConfig
from bench.core.gpu_notes import has_notes
from bench.launch.needs import refusal
from bench.runs.instruments import build_window
from bench.tasks.neutral import unchanged
from bench.training import gpus, job
from bench.training.loop import require_gpu_keys
from bench.training.parts import build_task_parts
from bench.training.plan import device_needs
from bench.training.rank import prepare_process
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
    monkeypatch.setattr(gpus, "require_gpu_keys", lambda *_: None)
    monkeypatch.setattr("bench.training.loop.require_gpu_keys", lambda *_: None)
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_memory": "pinned"}, "trainer.data_memory=pinned: needs a GPU, and there is none"),
        (
            {"compile": True, "compile_mode": "reduce-overhead"},
            "trainer.compile_mode=reduce-overhead: needs a GPU",
        ),
        ({"gpu_clock_mhz": 1410}, "trainer.gpu_clock_mhz=1410: needs a GPU"),
    ],
)
def test_keys_of_a_gpu_are_refused_where_there_is_none(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (need,) = device_needs(TrainerConfig(**options), "32")
    assert str(refusal(need)).startswith(message)


@pytest.mark.parametrize("has_tf32", [True, False])
def test_tf32_is_refused_on_a_gpu_without_it(
    has_tf32: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated: has_tf32)
    options = TrainerConfig(float32_matmul_precision="high")
    with nullcontext() if has_tf32 else pytest.raises(ValueError, match="=high: this GPU has no"):
        require_gpu_keys(options, torch.device("cuda"))


def test_the_precision_of_products_is_set_only_if_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", calls.append)
    with unchanged([]):
        prepare_process(TrainerConfig(), 0)
        prepare_process(TrainerConfig(float32_matmul_precision="medium"), 0)
    assert calls == ["medium"]


@pytest.mark.parametrize("mode", ["default", "max-autotune"])
def test_the_mode_reaches_the_compiler(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is compiled here: tests/training/test_warm_up.py has what that would take."""
    compiled: list[dict[str, Any]] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _, **options: compiled.append(options))
    monkeypatch.setattr("bench.training.parts.prepare", lambda *_, **__: None)
    modes = ("trainer.compile=true", f"trainer.compile_mode={mode}")
    config = TrainConfig.from_dict(plan(tmp_path, *QUICK, *modes).config)
    parts = build_task_parts(config, None)
    parts.compile_and_warm_up()
    assert compiled == [{"mode": mode}]
    assert not parts.module.reuses_outputs  # there are no CUDA graphs on a CPU
