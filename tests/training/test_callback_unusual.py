"""A module that Lightning allows and a tutorial does not have: GAN-like, dicts as batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchmetrics.classification import MulticlassAccuracy

from bench.measure.window import Window
from bench.training.callback import ProfilerCallback
from tests.training.stranger import trainer_of


class Dicts(Dataset[dict[str, Tensor]]):
    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"inputs": torch.ones(4), "labels": torch.tensor(index % 2)}


class TwoNetworks(pl.LightningModule):
    """Steps two optimizers by itself, has no forward, and logs an accuracy for each class."""

    automatic_optimization = False

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 2), nn.Linear(4, 2)
        self.accuracy = MulticlassAccuracy(2, average=None)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        optimizers: Any = self.optimizers()
        for optimizer, network in zip(optimizers, (self.first, self.second), strict=True):
            optimizer.zero_grad()
            logits = network(batch["inputs"])
            self.manual_backward(nn.functional.cross_entropy(logits, batch["labels"]))
            optimizer.step()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        self.accuracy(self.first(batch["inputs"]), batch["labels"])
        self.log("val_accuracies", self.accuracy)
        self.log("val_f1", 0.25 * (self.current_epoch + 1))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(one.parameters(), lr=0.1) for one in (self.first, self.second)]


def fit(results: Path, metric: str) -> ProfilerCallback:
    window = Window({}, period_s=None)
    profiler = ProfilerCallback(
        metric=metric, value=0.7, mode="max", results=results, window=window
    )
    loader = DataLoader(Dicts(), 8)
    trainer_of(profiler, max_epochs=4).fit(TwoNetworks(), loader, loader)
    return profiler


def test_it_is_measured_like_any_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    record = fit(tmp_path, "val_f1").record
    assert record is not None
    assert record.target is not None
    assert record.quality is not None
    # Three epochs of two batches of eight.
    assert (record.target.samples_to_target, record.target.steps_to_target) == (48, 6)
    assert record.quality.values == {"val_f1": 0.75}
    assert record.model is not None
    assert record.model.num_parameters == 2 * (4 * 2 + 2)
    assert "val_accuracies: logged in validation but not recorded" in caplog.text


def test_a_target_of_several_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="monitor=val_accuracies: has 2 values, must have one"):
        fit(tmp_path, "val_accuracies")
