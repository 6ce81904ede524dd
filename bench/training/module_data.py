"""Makes the data of a user's LightningModule, and finds out how long an epoch of it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytorch_lightning as pl
from hydra.utils import get_object, instantiate

from bench.config.train import TrainConfig
from bench.core.arguments import takes_argument
from bench.tasks.neutral import unchanged
from bench.tasks.task import describe
from bench.training.batches import batches_of_pass


def build_data(config: TrainConfig) -> pl.LightningDataModule:
    """Make the data of a run, and have each of its stages set up once.

    Args:
        config: The configuration of the run. The data is given batch_size, and seed if it takes it.

    Raises:
        ValueError: It is not a LightningDataModule.
    """
    target = str(config.data["_target_"])
    arguments: dict[str, int] = {"batch_size": config.batch_size}
    if takes_argument(get_object(target), "seed"):
        arguments["seed"] = config.seed
    data = instantiate(config.data, **arguments)
    if not isinstance(data, pl.LightningDataModule):
        raise ValueError(
            f"data._target_={target}: must give a pytorch_lightning.LightningDataModule, gave "
            f"{describe(data)}"
        )
    _call_once(data, "prepare_data")
    _call_once(data, "setup")
    return data


def _call_once(data: pl.LightningDataModule, name: str) -> None:
    """Call a method once for each stage: rehearsal and training must see the same splits."""
    # A partial, because bench.tasks.neutral looks into it: what a rehearsal has set up and undone
    # is set up again.
    setattr(data, name, partial(_call_for_new_stage, getattr(data, name), set()))


def _call_for_new_stage(
    method: Callable[..., None], seen: set[str | None], stage: str | None = None
) -> None:
    if stage not in seen:
        seen.add(stage)
        method(*(() if stage is None else (stage,)))


def epoch_length(config: TrainConfig, data: pl.LightningDataModule) -> tuple[float, int | None]:
    """Batches of an epoch, and its samples where the data has to say how long an epoch is.

    Raises:
        ValueError: Nobody knows.
    """
    with unchanged([], data):
        num_batches = batches_of_pass(data.train_dataloader())
    if num_batches == 0:
        raise no_batch(config.batch_size)
    if num_batches is not None:
        return num_batches, None
    num_samples = getattr(data, "num_train_samples", None)
    if not isinstance(num_samples, int) or num_samples < 1:
        raise ValueError(
            f"budget.max_epochs={config.budget.max_epochs:g}: train_dataloader has no length, so "
            "an epoch is not known; give the data an attribute num_train_samples"
        )
    return num_samples / config.batch_size, num_samples


def no_batch(batch_size: int) -> ValueError:
    """The error for a training loader that gives nothing."""
    return ValueError(
        f"data: train_dataloader gave no batch; does the split have batch_size={batch_size} "
        "samples, if its loader drops a smaller last batch?"
    )
