"""Trains to the target, with Lightning or Fabric, while bench.training.profiler measures.

Set-up, compilation and warm-up (bench.training.warm_up) come before the clock. Everything from the
request for the first batch is on the clock.
"""

from __future__ import annotations

import functools
import math
import os
import signal
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy as FabricDDPStrategy
from pytorch_lightning.loggers import Logger
from pytorch_lightning.strategies import DDPStrategy

from bench.compression.processor import half_refusal
from bench.config.train import TrainConfig
from bench.config.trainer import TrainerConfig
from bench.tasks.task_module import TaskModule
from bench.training.fabric_loop import FabricTrainer
from bench.training.profiler import TargetProfiler
from bench.training.ranks import require_shares

_ROUNDING = 1e-12
# Evaluations are the longest stretch without an exchange between ranks; see trainer_options().
_GROUP_TIMEOUT = timedelta(minutes=10)
AnyTrainer = pl.Trainer | FabricTrainer
# With bf16-true, the module converts its weights and inputs: Lightning would round targets as well.
_LIGHTNING_PRECISION = {
    "32": "32-true",
    "bf16-true": "32-true",
    "bf16-mixed": "bf16-mixed",
    "16-mixed": "16-mixed",
}


def eval_every_steps(eval_every_samples: int | None, step_samples: int) -> int:
    """Convert the evaluation cadence from samples to steps, rounded up to whole batches.

    Raises:
        ValueError: There is no cadence.
    """
    if eval_every_samples is None:
        raise ValueError("target.eval_every_samples=null: give a number of samples")
    return math.ceil(eval_every_samples / step_samples)


def schedule_steps(
    max_epochs: float, num_train_samples: float, step_samples: int, every: int
) -> int:
    """Compute the length of the schedule in steps, rounded up so that it ends with an evaluation.

    Args:
        max_epochs: The budget in passes over the training split.
        num_train_samples: Samples of one epoch.
        step_samples: Samples of one step.
        every: Steps between evaluations.
    """
    num_evaluations = max_epochs * num_train_samples / step_samples / every
    # 0.7 * 10 is 7.000000000000001, which must not be rounded up to 8 evaluations.
    return max(1, math.ceil(num_evaluations * (1 - _ROUNDING))) * every


def require_devices(accelerator: str, num_devices: int, precision: str) -> list[torch.device]:
    """Find the devices to train on: CUDA devices, or the CPU.

    Args:
        accelerator: The key trainer.accelerator.
        num_devices: The key trainer.devices.
        precision: The key precision.

    Raises:
        ValueError: A device is missing, or the precision needs another one.
    """
    devices = _find_devices(accelerator, num_devices)
    if precision == "16-mixed" and devices[0].type == "cpu":
        raise ValueError("precision=16-mixed: needs a GPU; on a CPU use bf16-mixed or 32")
    emulated = half_refusal("bf16", devices[0].type) if precision.startswith("bf16") else None
    if emulated is not None:
        raise ValueError(f"precision={precision}: {emulated}; use precision=32")
    return devices


def _find_devices(accelerator: str, num_devices: int) -> list[torch.device]:
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


def require_gpu_keys(options: TrainerConfig, device: torch.device) -> None:
    """Refuse keys of the group trainer that a device cannot follow.

    Raises:
        ValueError: The device is no GPU, or a GPU without TF32; the message names the key.
    """
    if device.type != "cuda" and options.gpu_keys:
        raise ValueError(f"{options.gpu_keys[0]}: needs a GPU, and there is none; leave it out")
    # Source: torch.cuda.is_tf32_supported, which asks the same.
    if options.float32_matmul_precision != "highest" and not torch.cuda.is_bf16_supported(False):
        raise ValueError(
            f"trainer.float32_matmul_precision={options.float32_matmul_precision}: this GPU has no "
            "TF32; leave it out"
        )


def gpu_uuids(devices: Sequence[torch.device]) -> list[str] | None:
    """The UUIDs of the GPUs among some devices; None if there are GPUs that are not CUDA's."""
    if {device.type for device in devices} - {"cpu", "cuda"}:
        return None
    return [
        str(torch.cuda.get_device_properties(device).uuid)
        for device in devices
        if device.type == "cuda"
    ]


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its work; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class OnDevice:
    """What is trained on the device of its trainer."""

    trainer: AnyTrainer

    @property
    def device(self) -> torch.device:
        """The device of the training."""
        device: torch.device = self.trainer.strategy.root_device
        return device

    def synchronize(self) -> None:
        """Wait until the device has finished its work; a CPU always has."""
        synchronize(self.device)


def build_trainer(
    config: TrainConfig, *, max_steps: int, every: int, logger: Logger | None
) -> AnyTrainer:
    """Make the trainer of a run, by the key trainer.loop.

    Args:
        config: The configuration of the run.
        max_steps: Optimizer steps at which the fit ends.
        every: Batches between evaluations.
        logger: Lightning's logger; None for none.

    Raises:
        ValueError: The device or the precision does not exist here.
    """
    if config.trainer.loop == "fabric":
        return FabricTrainer(build_fabric(config), max_steps=max_steps, every=every, logger=logger)
    return pl.Trainer(
        **trainer_options(config),
        max_steps=max_steps,
        max_epochs=-1,
        val_check_interval=every,
        check_val_every_n_epoch=None,
        logger=logger or False,
    )


def build_fabric(config: TrainConfig) -> Fabric:
    """Make Fabric with the devices and the precision of a run, and set torch to determinism.

    Raises:
        ValueError: The device or the precision does not exist here.
    """
    options = _device_options(config, FabricDDPStrategy)
    # As Lightning's Trainer does for its argument of the same name.
    torch.use_deterministic_algorithms(config.trainer.deterministic)
    if config.trainer.deterministic:
        torch.backends.cudnn.benchmark = False
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    return Fabric(**options)


def trainer_options(config: TrainConfig) -> dict[str, Any]:
    """Arguments of a trainer in which none of Lightning's extras run on the clock.

    Raises:
        ValueError: The device or the precision does not exist here.
    """
    return _device_options(config, DDPStrategy) | {
        "deterministic": config.trainer.deterministic,
        "num_sanity_val_steps": 0,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "use_distributed_sampler": False,
    }


def _device_options(config: TrainConfig, ddp_strategy: Callable[..., Any]) -> dict[str, Any]:
    options = config.trainer
    devices = require_devices(options.accelerator, options.devices, config.precision)
    require_gpu_keys(options, devices[0])
    # A node that is lost without closing its connections is missed after this time.
    ddp = ddp_strategy(timeout=_GROUP_TIMEOUT) if options.num_ranks > 1 else "auto"
    return {
        "accelerator": "gpu" if devices[0].type == "cuda" else "cpu",
        "devices": options.devices,
        "num_nodes": options.num_nodes,
        "strategy": ddp,
        # Ranks are started by bench.training.ranks, even inside a job of Slurm or torchrun. This
        # also keeps Lightning from catching the signals by which SLURM announces a requeue.
        "plugins": [LightningEnvironment()],
        "precision": _LIGHTNING_PRECISION[config.precision],
    }


def train_to_target(
    module: TaskModule,
    profiler: TargetProfiler,
    trainer: AnyTrainer,
    batch_size: int | None = None,
) -> None:
    """Train until the profiler stops the trainer or the schedule ends.

    Args:
        module: The module. Meanwhile, the method train_dataloader of its task's data is replaced by
            one that starts the clock.
        profiler: Measures, keeps the readings, and stops the trainer.
        trainer: The trainer.
        batch_size: Of all ranks together, for the check of their shares; None skips the check.

    Raises:
        DivergedError: The loss is not finite.
        ValueError: The ranks do not share the data correctly (bench.training.ranks).
    """
    on_sigterm = signal.getsignal(signal.SIGTERM)
    data = module.task.data
    make_loader = data.train_dataloader

    # Lightning then makes the loader's iterator, and workers begin to load: a hook is too late.
    @functools.wraps(make_loader)
    def train_dataloader() -> Any:
        # By now Lightning has set its own handler, which would wait for the other ranks in a step.
        signal.signal(signal.SIGTERM, on_sigterm)
        # By now the ranks have met, and the clock has not started.
        if batch_size is not None and trainer.world_size > 1 and not profiler.started:
            require_shares(module.task, make_loader, batch_size)
        profiler.start()
        return make_loader()

    # Data that has the hook, too, is refused (bench.training.contract).
    warnings.filterwarnings("ignore", "You have overridden `transfer_batch_to_device`")
    module.observer = profiler
    data.train_dataloader = train_dataloader
    try:
        trainer.fit(module, datamodule=data)
    finally:
        profiler.stop()
        data.train_dataloader = make_loader  # for another training on the same data


def build_logger(node: dict[str, Any] | None, folder: Path | None) -> Logger | None:
    """Make Lightning's logger of a run.

    Args:
        node: The group `logger` of the configuration; None for none.
        folder: The run folder; None on ranks that write nothing.
    """
    if not node or folder is None:
        return None
    if "tracking_uri" in node and node["tracking_uri"] is None:
        # By default Lightning has MLflow write plain files, which MLflow refuses.
        node = {**node, "tracking_uri": f"sqlite:///{folder}/mlflow.db"}
    logger: Logger = instantiate(node, save_dir=str(folder))
    return logger
