"""The trainer of a user's LightningModule, which knows how long its schedule is."""

from __future__ import annotations

import signal
from typing import Literal, NamedTuple

import pytorch_lightning as pl
from pytorch_lightning.loggers.logger import DummyLogger
from typing_extensions import override

from bench.config.train import TrainConfig


class Schedule(NamedTuple):
    """The length of a training.

    Attributes:
        max_steps: In batches.
        max_epochs: In passes over the training split, the last one perhaps in part; -1 if the
            length of a pass is only an estimate.
    """

    max_steps: int
    max_epochs: int


class ModuleTrainer(pl.Trainer):
    """A trainer whose schedule is set after it is made, once the data is set up."""

    schedule: Schedule

    def set_schedule(self, schedule: Schedule) -> None:
        """Let the module see the schedule: its optimizers may have one of the same length."""
        self.schedule = schedule
        self.fit_loop.max_epochs = schedule.max_epochs
        self.fit_loop.epoch_loop.max_steps = schedule.max_steps

    def count_batches(self) -> None:
        """Leave the end of the fit to whoever counts batches; call it in on_fit_start.

        Lightning counts optimizer steps, of which a batch may take several or none.
        """
        self.fit_loop.epoch_loop.max_steps = -1

    @property
    @override
    def estimated_stepping_batches(self) -> int:
        """Batches of the training; Lightning would load the training data to estimate them."""
        return self.schedule.max_steps


def stand_in_logger(config: TrainConfig) -> DummyLogger | Literal[False]:
    """A logger that keeps nothing, for all but the training of a run that has one.

    The module may call methods of its logger, in evaluations as well.
    """
    return DummyLogger() if config.logger else False


class KeptSignal(pl.Callback):
    """Keeps the handler of SIGTERM, which Lightning replaces by one that waits for a batch."""

    def __init__(self) -> None:
        """Remember the handler."""
        self._handler = signal.getsignal(signal.SIGTERM)

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put it back."""
        signal.signal(signal.SIGTERM, self._handler)

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put it back."""
        signal.signal(signal.SIGTERM, self._handler)

    @override
    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put it back."""
        signal.signal(signal.SIGTERM, self._handler)
