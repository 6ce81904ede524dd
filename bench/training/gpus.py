"""The GPUs of a training: what the keys of the group trainer need of them and set on them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from bench.config.trainer import TrainerConfig
from bench.measure.gpu_control import GpuControls, applied, require_settable
from bench.training.loop import gpu_uuids, require_devices, require_gpu_keys


def require_trainer(
    key: str, accelerator: str, precision: str, options: tuple[tuple[str, Any], ...]
) -> None:
    """Require the devices of a training, and that they can follow its keys; nothing is changed.

    Args:
        key: `trainer.accelerator`.
        accelerator: Its value.
        precision: The key precision.
        options: The keys of the group trainer with their values.

    Raises:
        ValueError: A device is missing, or cannot follow a key; the message has the remedy.
    """
    trainer = TrainerConfig(**dict(options))
    devices = require_devices(accelerator, trainer.devices, precision)
    require_gpu_keys(trainer, devices[0])
    controls = _controls(trainer)
    if controls:
        require_settable(controls, gpu_uuids(devices))


def gpus_set(options: TrainerConfig, uuids: Sequence[str] | None) -> AbstractContextManager[None]:
    """Set the GPUs of a run for the block.

    Args:
        options: The keys of the group trainer.
        uuids: The GPUs, as gpu_uuids() gives them.

    Raises:
        ValueError: A card cannot be set; the message has the reason and the remedy.
    """
    return applied(_controls(options), uuids)


def _controls(options: TrainerConfig) -> GpuControls:
    return GpuControls(power_limit_w=options.gpu_power_limit_w, clock_mhz=options.gpu_clock_mhz)
