"""Trains to the target with PyTorch Lightning; bench.training.profiler measures it.

Before the clock: set-up, compilation and warm-up, on made-up inputs that leave the model as it
was. On the clock: everything from the first batch asked for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor, nn

from bench.core.config import TrainConfig
from bench.tasks.classifier import Classifier
from bench.tasks.data import DataModule
from bench.training.profiler import TargetProfiler

_LIGHTNING_PRECISION = {"32": "32-true", "bf16-mixed": "bf16-mixed", "16-mixed": "16-mixed"}


def eval_every_steps(eval_every_samples: int | None, batch_size: int) -> int:
    """The evaluation cadence in steps: samples rounded up to whole batches.

    Raises:
        ValueError: There is no cadence.
    """
    if eval_every_samples is None:
        raise ValueError("target.eval_every_samples=null: give a number of samples")
    return math.ceil(eval_every_samples / batch_size)


def schedule_steps(max_epochs: float, num_train_samples: int, batch_size: int, every: int) -> int:
    """Length of the schedule in steps, rounded up so that it ends with an evaluation.

    Args:
        max_epochs: The budget in passes over the training split.
        num_train_samples: Samples of one epoch.
        batch_size: Samples of one step.
        every: Steps between evaluations.
    """
    steps = max_epochs * num_train_samples / batch_size
    return max(1, math.ceil(steps / every)) * every


def build_trainer(
    config: TrainConfig, *, max_steps: int, every: int, logger: Logger | None
) -> pl.Trainer:
    """A trainer with nothing of Lightning's own on the clock that was not asked for.

    Raises:
        ValueError: The device or precision asked for is not there.
    """
    options = config.trainer
    on_gpu = options.accelerator == "gpu" or (
        options.accelerator == "auto" and torch.cuda.is_available()
    )
    if options.accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer.accelerator=gpu: no CUDA device here; use trainer=cpu")
    if config.precision == "16-mixed" and not on_gpu:
        raise ValueError("precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32")
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=options.devices,
        strategy="ddp" if options.devices > 1 else "auto",
        precision=_LIGHTNING_PRECISION[config.precision],  # type: ignore[arg-type]
        max_steps=max_steps,
        max_epochs=-1,
        val_check_interval=every,
        check_val_every_n_epoch=None,
        deterministic=options.deterministic,
        logger=logger or False,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )


def warm_up(module: Classifier, data: DataModule, config: TrainConfig, trainer: pl.Trainer) -> None:
    """Train and evaluate on noise, so that lazy set-up and compilation are off the clock.

    The weights, the buffers (batch-norm statistics) and the random state are as before afterwards.

    Args:
        module: The module; moved to the trainer's device.
        data: Gives the shape of one input, and its validation loader, read once, those of the
            batches in evaluations: a compiled model is compiled again for each new one.
        config: Batch size and number of warm-up steps.
        trainer: Gives the device and the precision.
    """
    device = trainer.strategy.root_device
    module.to(device)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    shape = (config.batch_size // config.trainer.devices, *data.input_shape)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        eval_shapes = sorted({tuple(images.shape) for images, _ in data.val_dataloader()})
        for _ in range(config.trainer.num_warmup_steps):
            with trainer.precision_plugin.forward_context():
                module.train()
                loss = _any_loss(module(torch.randn(shape, device=device)))
                loss.backward()  # type: ignore[no-untyped-call]
                module.eval()
                with torch.no_grad():  # as Lightning evaluates within a fit
                    for eval_shape in eval_shapes:
                        module(torch.randn(eval_shape, device=device))
    module.zero_grad(set_to_none=True)
    module.load_state_dict(before)
    module.train()


def _any_loss(logits: Tensor) -> Tensor:
    labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    return nn.functional.cross_entropy(logits, labels)


def start_with_first_batch(data: Any, start: Callable[[], None]) -> None:
    """Have a data module start the clock when its training loader is first asked for.

    Lightning makes the loader's iterator at once after that, and workers begin to fetch: a later
    hook of the training loop would come after the first batch was asked for.
    """
    inner = data.train_dataloader

    @functools.wraps(inner)
    def train_dataloader() -> Any:
        start()
        return inner()

    data.train_dataloader = train_dataloader


def train_to_target(
    module: Classifier, data: DataModule, profiler: TargetProfiler, trainer: pl.Trainer
) -> None:
    """Train until the profiler stops it or the schedule ends; readings are in the profiler.

    Raises:
        DivergedError: The loss is not finite.
    """
    module.observer = profiler
    start_with_first_batch(data, profiler.start)
    try:
        trainer.fit(module, datamodule=data)  # type: ignore[arg-type]
    finally:
        profiler.stop()
