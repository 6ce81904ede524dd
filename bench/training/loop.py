"""Trains to the target with PyTorch Lightning; bench.training.profiler measures it.

Before the clock: set-up, compilation and warm-up (bench.training.warm_up). On the clock:
everything from the first batch asked for.
"""

from __future__ import annotations

import functools
import math
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.loggers import Logger

from bench.config.train import TrainConfig
from bench.tasks.classifier import Classifier
from bench.tasks.data import DataModule
from bench.training.profiler import TargetProfiler
from bench.training.ranks import require_shares

_ROUNDING = 1e-12
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
    num_evaluations = max_epochs * num_train_samples / batch_size / every
    # 0.7 * 10 is 7.000000000000001: no evaluation more for that.
    return max(1, math.ceil(num_evaluations * (1 - _ROUNDING))) * every


def training_devices(config: TrainConfig) -> list[torch.device]:
    """The devices that a configuration trains on: CUDA's, or the one CPU.

    Raises:
        ValueError: A GPU is asked for and there is none, or not as many.
    """
    return _devices(config.trainer.accelerator, config.trainer.devices)


def require_devices(accelerator: str, num_devices: int, precision: str) -> None:
    """Refuse devices that are not there, and a precision that they do not have.

    Args:
        accelerator: As trainer.accelerator.
        num_devices: As trainer.devices.
        precision: As the key of that name.

    Raises:
        ValueError: A device is not there, or the precision needs another one.
    """
    on_gpu = _devices(accelerator, num_devices)[0].type == "cuda"
    if precision == "16-mixed" and not on_gpu:
        raise ValueError("precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32")


def _devices(accelerator: str, num_devices: int) -> list[torch.device]:
    has_gpu = torch.cuda.is_available()
    if accelerator == "gpu" and not has_gpu:
        raise ValueError("trainer.accelerator=gpu: no CUDA device here; use trainer=cpu")
    if accelerator == "cpu" or not has_gpu:
        return [torch.device("cpu")]
    if num_devices > torch.cuda.device_count():
        raise ValueError(
            f"trainer.devices={num_devices}: there are {torch.cuda.device_count()} CUDA devices "
            "here; give no more than that, or use trainer=cpu"
        )
    return [torch.device("cuda", index) for index in range(num_devices)]


def gpu_uuids(devices: Sequence[torch.device]) -> list[str] | None:
    """UUIDs of the GPUs among some devices, as CUDA names them; None for GPUs of other makers."""
    if {device.type for device in devices} - {"cpu", "cuda"}:
        return None
    return [
        str(torch.cuda.get_device_properties(device).uuid)
        for device in devices
        if device.type == "cuda"
    ]


def build_trainer(
    config: TrainConfig, *, max_steps: int, every: int, logger: Logger | None
) -> pl.Trainer:
    """A trainer with nothing of Lightning's own on the clock that was not asked for.

    Raises:
        ValueError: The device or precision asked for is not there.
    """
    options = config.trainer
    require_devices(options.accelerator, options.devices, config.precision)
    on_gpu = training_devices(config)[0].type == "cuda"
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=options.devices,
        strategy="ddp" if options.devices > 1 else "auto",
        plugins=[LightningEnvironment()],  # not that of a launcher: ranks are ours
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


def start_with_first_batch(data: Any, start: Callable[[Callable[[], Any]], None]) -> None:
    """Have a data module start the clock when its training loader is first asked for.

    Lightning makes the loader's iterator at once after that, and workers begin to fetch: a later
    hook of the training loop would come after the first batch was asked for.

    Args:
        data: Its method train_dataloader is replaced.
        start: Starts the clock; is given the method that was replaced.
    """
    inner = data.train_dataloader

    @functools.wraps(inner)
    def train_dataloader() -> Any:
        start(inner)
        return inner()

    data.train_dataloader = train_dataloader


def train_to_target(
    module: Classifier,
    data: DataModule,
    profiler: TargetProfiler,
    trainer: pl.Trainer,
    batch_size: int | None = None,
) -> None:
    """Train until the profiler stops it or the schedule ends; readings are in the profiler.

    Args:
        module: The module.
        data: The data.
        profiler: Measures, and stops the trainer.
        trainer: The trainer.
        batch_size: Of all ranks together, whose shares are checked; None checks nothing.

    Raises:
        DivergedError: The loss is not finite.
        ValueError: The ranks do not share the data as they must (bench.training.ranks).
    """
    on_sigterm = signal.getsignal(signal.SIGTERM)

    def start(loader_of: Callable[[], Any]) -> None:
        # Lightning's own handler, set by now, would wait for the other ranks within a step.
        signal.signal(signal.SIGTERM, on_sigterm)
        # The ranks have met by now, and the clock has not started.
        if batch_size is not None and trainer.world_size > 1 and not profiler.started:
            require_shares(data, loader_of, batch_size)
        profiler.start()

    module.observer = profiler
    start_with_first_batch(data, start)
    try:
        trainer.fit(module, datamodule=data)  # type: ignore[arg-type]
    finally:
        profiler.stop()
