"""Rehearses the training of a user's LightningModule before the clock, and leaves no trace.

A fit of a few batches and an evaluation pay for lazy set-up, and show what could otherwise only be
known on the clock: whether the module works, what it logs, and what its inputs are.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import nn
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_map
from typing_extensions import override

from bench.config.train import TrainConfig
from bench.core.errors import kind_and_line
from bench.tasks.flops import count_flops
from bench.tasks.lightning_module import Forward, Inputs, forward_inputs, is_image, take_rows
from bench.tasks.neutral import evaluating, unchanged
from bench.training.callback_trainer import Monitor, require_validation
from bench.training.loop import trainer_options
from bench.training.module_callbacks import Reader
from bench.training.module_data import no_batch
from bench.training.module_trainer import KeptSignal, ModuleTrainer, Schedule, stand_in_logger

_log = logging.getLogger(__name__)

# As many as Lightning's own sanity check evaluates.
_NUM_EVAL_BATCHES = 2
Precision = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a rehearsal found out.

    Attributes:
        metrics: Names of what the module logs in validation.
        is_image: Whether an example is an image.
        num_train_batches: Batches of a pass over the training split; None if unknown.
        num_parameters: All parameters.
        inputs: Inputs of the module's forward, on the CPU; None if it cannot be served.
        flops_per_sample: Of one forward pass; None if it cannot be served or counted.
        flops_uncounted_ops: Operators that are not in that number.
    """

    metrics: list[str]
    is_image: bool
    num_train_batches: int | None
    num_parameters: int
    inputs: Inputs | None = None
    flops_per_sample: int | None = None
    flops_uncounted_ops: list[str] = field(default_factory=list)


class ServedModule(nn.Module):
    """A module's forward in the precision of its training."""

    def __init__(self, module: pl.LightningModule, inputs: Inputs, precision: Precision) -> None:
        """Wrap the module without changing it.

        Args:
            module: The module.
            inputs: Show how its forward is called.
            precision: Enters the precision of the training.
        """
        super().__init__()
        self.call = Forward(module, by_name=inputs.by_name)
        self._precision = precision

    @override
    def forward(self, inputs: Any) -> Any:
        """What the module gives for the tensors of some Inputs."""
        with self._precision():
            return self.call(inputs)


def rehearse(
    module: pl.LightningModule,
    data: pl.LightningDataModule,
    config: TrainConfig,
    monitor: Monitor,
    *,
    schedule: Schedule,
) -> Rehearsal:
    """Train and evaluate on a few batches; module, data and random states stay as they are.

    Args:
        module: The module.
        data: Its data, set up.
        config: The configuration of the run.
        monitor: Reads what validation logs.
        schedule: Length of the training, which the schedules of optimizers may read.

    Raises:
        NoMetricsError: The metric of the target was not logged in validation.
        ValueError: There is no validation, the training loader gives batches of another size, or
            the loss is not finite.
    """
    _require_shapes(module)
    reader = Reader(monitor)
    with unchanged([module], data), tempfile.TemporaryDirectory() as folder:
        data.teardown = _keep  # type: ignore[method-assign]  # until it is put back
        trainer = ModuleTrainer(
            **trainer_options(config),
            limit_train_batches=max(1, config.trainer.num_warmup_steps),
            limit_val_batches=_NUM_EVAL_BATCHES,
            limit_test_batches=_NUM_EVAL_BATCHES,
            logger=stand_in_logger(config),
            default_root_dir=folder,
            callbacks=[KeptSignal(), reader, _Limits()],
        )
        trainer.set_schedule(schedule)
        trainer.fit(module, datamodule=data)
        _require_batches(reader, config.batch_size)
        if has_test(module, data):  # an error there must not show after hours of training
            trainer.test(module, datamodule=data, verbose=False)
        return _findings(module, reader, trainer)


def has_test(module: pl.LightningModule, data: pl.LightningDataModule) -> bool:
    """Whether module and data can evaluate a test split."""
    has_loader = is_overridden("test_dataloader", data, pl.LightningDataModule)
    return has_loader and is_overridden("test_step", module)


def _keep(stage: str) -> None:
    """Tear nothing down: the data is used again."""


class _Limits(pl.Callback):
    """Ends a rehearsal after its evaluation, and refuses a module that it could not rehearse."""

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check what Lightning has set up.

        Raises:
            ValueError: There is no validation, or a lazy layer has no weights.
        """
        require_validation(trainer)
        assert isinstance(trainer, ModuleTrainer)
        trainer.count_batches()
        _require_shapes(pl_module)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the trainer."""
        trainer.should_stop = True


def _require_shapes(module: pl.LightningModule) -> None:
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor):
            raise ValueError(
                f"model: {name} of {type(module).__name__} has no shape yet; send one example "
                "through the layers in __init__ or configure_model"
            )


def _require_batches(reader: Reader, batch_size: int) -> None:
    """Refuse training batches of another size than configured, or a loss that is not finite."""
    if not reader.has_trained:
        raise no_batch(batch_size)
    num = reader.num_train_samples
    if num is not None and num != batch_size:
        raise ValueError(
            f"data: train_dataloader gave {num} samples in its first batch, must give "
            f"batch_size={batch_size}"
        )
    for loss in reader.losses:
        if not bool(loss.isfinite()):
            raise ValueError(
                f"model: the loss of a first training step is {loss.item()}; look for NaN in the "
                "data, or make the first steps smaller"
            )


def _findings(module: pl.LightningModule, reader: Reader, trainer: pl.Trainer) -> Rehearsal:
    inputs: Inputs | None = None
    flops: tuple[int | None, list[str]] = (None, [])
    try:
        inputs = forward_inputs(module, reader.batch)
        served = ServedModule(module, inputs, trainer.precision_plugin.forward_context)
        one = take_rows(inputs.tensors, torch.tensor([0]))  # a FLOP count is that of one example
        with evaluating(served), torch.inference_mode():
            served(tree_map(torch.clone, one))
    except Exception as error:  # a user's forward may fail in any way
        _log.warning("serving is not measured: %s", kind_and_line(error))
        inputs = None
    else:
        flops = _count_flops(served, one)
    return Rehearsal(
        metrics=sorted(reader.quality),
        is_image=is_image(reader.batch if inputs is None else inputs.tensors),
        num_train_batches=reader.num_train_batches,
        num_parameters=sum(parameter.numel() for parameter in module.parameters()),
        inputs=inputs,
        flops_per_sample=flops[0],
        flops_uncounted_ops=flops[1],
    )


def _count_flops(served: ServedModule, example: Any) -> tuple[int | None, list[str]]:
    try:
        return count_flops(served, example)
    except Exception as error:  # code that a module has compiled itself cannot be looked into
        _log.warning("FLOPs are not counted: %s", kind_and_line(error))
        return None, []
