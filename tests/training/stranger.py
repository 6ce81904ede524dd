"""A user's own Lightning training on a scripted clock, under ProfilerCallback."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from bench.measure.window import Window
from bench.training.callback import ProfilerCallback
from tests.fakes import FakeClock, FunctionMeter

BATCH_S = 2.0
Batch = tuple[Tensor, Tensor]


class Stranger(pl.LightningModule):
    """Logs a given validation accuracy under a name of its own; a batch takes two seconds."""

    def __init__(self, clock: FakeClock, accuracies: list[float]) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self._clock = clock
        self._accuracies = iter(accuracies)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._clock.advance(BATCH_S)
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._clock.advance(0.5)

    def on_validation_epoch_end(self) -> None:
        if not self.trainer.sanity_checking:
            self.log("val_acc", next(self._accuracies))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader() -> DataLoader[tuple[Tensor, ...]]:
    """Three batches of four samples."""
    return DataLoader(
        TensorDataset(torch.randn(12, 2), torch.zeros(12, dtype=torch.long)), batch_size=4
    )


def fit(
    tmp_path: Path,
    accuracies: list[float],
    *,
    max_epochs: int | None = 4,
    module: type[Stranger] = Stranger,
    train: Any = None,
    trainer: Mapping[str, Any] | None = None,
    **options: object,
) -> ProfilerCallback:
    """Fit once; options are those of the callback."""
    clock = FakeClock()
    profiler = measured(tmp_path, clock, **options)
    clock.advance(100.0)
    trainer_of(profiler, max_epochs, **(trainer or {})).fit(
        module(clock, accuracies), loader() if train is None else train, loader()
    )
    return profiler


def measured(tmp_path: Path, clock: FakeClock, **options: object) -> ProfilerCallback:
    """A callback with a meter of ten watts."""
    meter = FunctionMeter(lambda: 10.0 * clock())
    return ProfilerCallback(
        **{  # type: ignore[arg-type]
            "metric": "accuracy",
            "value": 0.9,
            "monitor": "val_acc",
            "results": tmp_path,
            "window": Window({"ten_watts": meter}, clock=clock),
            **options,
        }
    )


def trainer_of(
    profiler: ProfilerCallback, max_epochs: int | None = 1, **options: Any
) -> pl.Trainer:
    return pl.Trainer(
        **{
            "accelerator": "cpu",
            "max_epochs": max_epochs,
            "callbacks": [profiler],
            "logger": False,
            "enable_checkpointing": False,
            "enable_model_summary": False,
            "enable_progress_bar": False,
            **options,
        }
    )
