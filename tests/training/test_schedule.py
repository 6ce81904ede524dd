from __future__ import annotations

import pytest
import torch

from bench.compression import processor
from bench.config.train import TrainConfig
from bench.config.trainer import TrainerConfig
from bench.training.loop import (
    build_trainer,
    eval_every_steps,
    require_devices,
    schedule_steps,
)


@pytest.mark.parametrize(
    ("samples", "batch_size", "steps"),
    # 512 samples are 16 batches of 32, 2 of 256, and 1 of any batch size from 512 on; 100 samples
    # are rounded up to 4 batches of 32.
    [(512, 32, 16), (512, 256, 2), (512, 1024, 1), (100, 32, 4)],
)
def test_the_cadence_is_in_samples_rounded_up_to_batches(
    samples: int, batch_size: int, steps: int
) -> None:
    assert eval_every_steps(samples, batch_size) == steps


@pytest.mark.parametrize(
    ("max_epochs", "every", "steps"),
    # 1000 samples in batches of 100 are 10 steps an epoch: 2 epochs are 20 steps, which end with
    # the fifth evaluation at a cadence of 4, and are rounded up to 21 at a cadence of 7.
    [(2, 4, 20), (2, 7, 21), (0.01, 4, 4)],
)
def test_a_schedule_ends_with_an_evaluation(max_epochs: float, every: int, steps: int) -> None:
    assert schedule_steps(max_epochs, 1000, 100, every) == steps


@pytest.mark.parametrize("loop", ["lightning", "fabric"])
def test_the_trainer_is_alone_whatever_a_launcher_says(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_NTASKS", "WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    for name in ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    config = TrainConfig(trainer=TrainerConfig(accelerator="cpu", loop=loop))
    trainer = build_trainer(config, max_steps=1, every=1, logger=None)
    assert (trainer.world_size, trainer.strategy.root_device) == (1, torch.device("cpu"))


def test_an_emulated_precision_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "computes_natively", lambda _: True)
    assert [each.type for each in require_devices("cpu", 1, "bf16-mixed")] == ["cpu"]
    monkeypatch.setattr(processor, "computes_natively", lambda _: False)
    assert [each.type for each in require_devices("cpu", 1, "32")] == ["cpu"]
    with pytest.raises(ValueError, match=r"precision=bf16-mixed: this processor .*precision=32$"):
        require_devices("cpu", 1, "bf16-mixed")
