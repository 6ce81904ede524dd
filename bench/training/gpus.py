"""The GPUs of a training: what the keys of the group trainer set on them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from bench.config.train import TrainerConfig
from bench.measure.gpu_control import GpuControls, applied, require_settable
from bench.training.loop import gpu_uuids, require_devices


def require_settings(
    accelerator: str,
    num_devices: int,
    precision: str,
    power_limit_w: float | None,
    clock_mhz: int | None,
) -> None:
    """Require the devices of a training, and that this user may set them; nothing is changed.

    Raises:
        ValueError: A device is missing, or cannot be set so; the message has the remedy.
    """
    uuids = gpu_uuids(require_devices(accelerator, num_devices, precision))
    require_settable(GpuControls(power_limit_w=power_limit_w, clock_mhz=clock_mhz), uuids)


def gpus_set(options: TrainerConfig, uuids: Sequence[str] | None) -> AbstractContextManager[None]:
    """Set the GPUs of a run for the block.

    Args:
        options: The keys of the group trainer.
        uuids: The GPUs, as gpu_uuids() gives them.

    Raises:
        ValueError: A card cannot be set; the message has the reason and the remedy.
    """
    settings = GpuControls(power_limit_w=options.gpu_power_limit_w, clock_mhz=options.gpu_clock_mhz)
    return applied(settings, uuids)
