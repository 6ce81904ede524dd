"""The model of a training run as bench.serve gets it: data as arrays, and the model on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.cli.runs import trained_record
from bench.cli.trained import load_data, load_network
from bench.compression.prepare import prepare
from bench.core.artifact import Artifact
from bench.core.records import Quality, RunRecord
from bench.core.serve_config import ServeConfig
from bench.serving.backends.choose import resolve_device
from bench.tasks.data import DataModule
from bench.tasks.loaders import Batch, RawSplit
from bench.tasks.quality import quality


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSplit:
    """Images, float32 (n, c, h, w), and labels, int64 (n,); raw pixels where the data has them."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    raw: RawSplit | None


class TrainedModel:
    """A training run, its data and its network."""

    def __init__(self, folder: Path, config: ServeConfig) -> None:
        """Load it.

        Raises:
            ValueError: The run is not fit to be served, or its checkpoint is missing or corrupt.
            FileNotFoundError: The files of its data are not here.
        """
        self.folder = folder
        self.record: RunRecord = trained_record(folder, allow_missed=config.allow_missed)
        self._data: DataModule = load_data(self.record.config, root=config.data_root)
        images, labels = _arrays(self._data.test_dataloader())
        self.test = TestSplit(
            images=images, labels=labels, raw=getattr(self._data, "raw_test", None)
        )

    def prepare(self, config: ServeConfig, method: str, folder: Path) -> Artifact:
        """Write the model to a new folder in the form that the runtime takes.

        Raises:
            ValueError: The runtime cannot have it in that form, with the reason.
        """
        folder.mkdir(parents=True)
        return prepare(
            load_network(self.folder, self._data),
            runtime=config.backend.runtime,
            method=method,
            channels_last=bool(self.record.config["trainer"]["channels_last"]),
            calibration=self._calibration(config.compression.num_calibration_samples),
            device=resolve_device(config.backend.runtime, config.backend.device),
            folder=folder,
        )

    def _calibration(self, num_samples: int) -> NDArray[np.float32]:
        """Training images, never validation or test ones."""
        images: list[Tensor] = []
        for batch, _ in self._data.train_dataloader():
            images.append(batch)
            if sum(map(len, images)) >= num_samples:
                break
        return _float32(images)[:num_samples]


def _arrays(batches: Iterable[Batch]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    pairs = list(batches)
    labels = torch.cat([labels for _, labels in pairs])
    return _float32([images for images, _ in pairs]), labels.numpy()


def _float32(images: Sequence[Tensor]) -> NDArray[np.float32]:
    return np.ascontiguousarray(torch.cat(list(images)).float().numpy())


def served_quality(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Quality:
    """Quality of answers that were served.

    Args:
        logits: Shape (n, num_classes), in the order of the labels.
        labels: Shape (n,).
    """
    values = quality(torch.from_numpy(logits), torch.from_numpy(labels))
    return Quality(at="served", num_samples=len(labels), **values)
