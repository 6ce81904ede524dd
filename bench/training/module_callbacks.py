"""Follows a user's LightningModule through a fit or an evaluation, by Lightning's callbacks."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils._pytree import tree_map
from typing_extensions import override

from bench.tasks.task_module import TrainLoss
from bench.training.batches import SampleCounter, batches_of_pass, num_samples
from bench.training.callback_trainer import (
    Monitor,
    call_before_training_data,
    require_validation,
    step_loss,
)
from bench.training.module_trainer import ModuleTrainer
from bench.training.profiler import TargetProfiler


class SplitSize:
    """Counts the samples of a split, as far as its batches show them."""

    def __init__(self) -> None:
        """Start without a batch."""
        self.num_samples: int | None = 0

    def add(self, batch: Any, loaders: Any, batch_idx: int, loader_idx: int) -> None:
        """Add a batch; from one whose size is not clear on, the number is unknown."""
        # Lightning gives one loader as it is, and several as a list.
        loader = loaders[loader_idx] if isinstance(loaders, list | tuple) else loaders
        num = _clear_size(batch, loader, batch_idx)
        known = self.num_samples is not None and num is not None
        self.num_samples = (self.num_samples or 0) + (num or 0) if known else None


class Follower(pl.Callback):
    """Tells a profiler of the batches and evaluations of a fit.

    Attributes:
        split: Size of the validation split at the last evaluation.
    """

    def __init__(self, profiler: TargetProfiler, monitor: Monitor) -> None:
        """Take what the fit reports to.

        Args:
            profiler: Counts, reads, and stops the trainer.
            monitor: Reads what validation logs.
        """
        self.split = SplitSize()
        self._profiler = profiler
        self._monitor = monitor
        self._train_loss = TrainLoss()
        self._count = SampleCounter()

    @override
    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Have the clock start when the training loader is asked for.

        Raises:
            ValueError: The fit evaluates nothing.
        """
        require_validation(trainer)
        assert isinstance(trainer, ModuleTrainer)
        trainer.count_batches()
        call_before_training_data(trainer, self._profiler.start)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the length of a pass from the loader, if it has one."""
        self._profiler.steps_per_epoch = batches_of_pass(trainer.train_dataloader)

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Count the batch and keep its loss, if Lightning knows it."""
        if (loss := step_loss(outputs)) is not None:
            self._train_loss.add(loss)
        self._profiler.step_ended(trainer, self._count(trainer, batch, batch_idx))

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin an evaluation."""
        self._monitor.validation_started(trainer)
        self.split = SplitSize()
        self._profiler.validation_started()

    @override
    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the samples."""
        # On the clock, but it takes microseconds, and no pass need be like the one before.
        self.split.add(batch, trainer.val_dataloaders, batch_idx, dataloader_idx)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read, and stop the trainer at the crossing or at the end of the schedule.

        Raises:
            NoMetricsError: The metric of the target was not logged.
            DivergedError: A loss is not finite.
        """
        # By now Lightning has reduced over the split what each batch has logged.
        quality = self._monitor.quality(trainer)
        self._profiler.evaluated(trainer, self._train_loss.take_mean(), quality)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Hand over the trained module, and stop the clock."""
        self._profiler.training_ended(pl_module)


class Reader(pl.Callback):
    """Reads what an evaluation logs, and looks at the first batches.

    Attributes:
        quality: What validation logged.
        split: Size of the split that was evaluated.
        batch: The first validation batch, on the CPU.
        has_trained: Whether there was a training batch.
        num_train_samples: Samples of the first one; None if that is not clear.
        num_train_batches: Batches of a pass over the training split; None if unknown.
        losses: Losses of the training steps.
    """

    def __init__(self, monitor: Monitor) -> None:
        """Start without a batch."""
        self.quality: dict[str, float] = {}
        self.split = SplitSize()
        self.batch: Any = None
        self.has_trained = False
        self.num_train_samples: int | None = None
        self.num_train_batches: int | None = None
        self.losses: list[Tensor] = []
        self._monitor = monitor

    @override
    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Look at the first batch."""
        # Before the step, because a module may change its batch.
        if not self.has_trained:
            self.has_trained = True
            self.num_train_batches = batches_of_pass(trainer.train_dataloader)
            self.num_train_samples = _clear_size(batch, trainer.train_dataloader, 0)

    @override
    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Keep the loss, if Lightning knows it."""
        if (loss := step_loss(outputs)) is not None:
            self.losses.append(loss)

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin an evaluation."""
        self._monitor.validation_started(trainer)

    @override
    def on_validation_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the first batch, and count."""
        if self.batch is None:
            self.batch = _on_cpu(batch)
        self.split.add(batch, trainer.val_dataloaders, batch_idx, dataloader_idx)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Read.

        Raises:
            NoMetricsError: The metric of the target was not logged.
        """
        self.quality = self._monitor.quality(trainer)

    @override
    def on_test_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the samples."""
        self.split.add(batch, trainer.test_dataloaders, batch_idx, dataloader_idx)


def _clear_size(batch: Any, loader: Any, batch_idx: int) -> int | None:
    try:
        return num_samples(batch, loader, batch_idx)
    except Exception:  # a user's batch may be any object; the module accepts it
        return None


def _on_cpu(batch: Any) -> Any:
    """Copy the tensors of a batch to the CPU; other members stay as they are."""
    return tree_map(
        lambda leaf: leaf.detach().cpu().clone() if isinstance(leaf, torch.Tensor) else leaf, batch
    )
