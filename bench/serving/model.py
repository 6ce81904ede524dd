"""The model of a training run for bench.serve: its data as arrays, and the model on disk."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.compression.artifact import Artifact
from bench.compression.prepare import prepare
from bench.config.serve import ServeConfig
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.run import RunRecord
from bench.runs.find import trained_record
from bench.runs.trained import load_data, load_network
from bench.serving.find_backend import combination
from bench.tasks.classification import Classification
from bench.tasks.data import DataModule, test_batches
from bench.tasks.find_task import make_task
from bench.tasks.loaders import Batch, RawSplit
from bench.tasks.quality import quality, recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSplit:
    """Images, float32 (n, c, h, w), and labels, int64 (n,); raw pixels if the data has them."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    raw: RawSplit | None
    num_classes: int

    @property
    def checksum(self) -> int:
        """Checksum of images and labels, to notice a change."""
        return zlib.crc32(self.labels.data, zlib.crc32(self.images.data))


class TrainedModel:
    """A training run, its data and its network."""

    def __init__(self, folder: Path, config: ServeConfig) -> None:
        """Load the record, the data and the network.

        Raises:
            ValueError: The run cannot be served, or its checkpoint is missing or corrupt.
            FileNotFoundError: The files of its data are missing.
        """
        self.folder = folder
        self.record: RunRecord = trained_record(folder, allow_missed=config.allow_missed)
        self._data: DataModule = load_data(folder, config.trust, root=config.data_root)
        self._task = make_task(self.record.config.get("task", Classification.name), self._data)
        images, labels = _arrays(test_batches(self._data))
        self.test = TestSplit(
            images=images,
            labels=labels,
            raw=getattr(self._data, "raw_test", None),
            num_classes=self._data.num_classes,
        )
        # Taken before any model has seen the images.
        self._checksum = self.test.checksum

    @property
    def name(self) -> str:
        """The model's name, for errors."""
        return f"model {self.record.model.name}" if self.record.model else "the model"

    def facts(self, size_bytes: int | None) -> ModelFacts | None:
        """The facts of the trained model, with the size in which it is served."""
        model = self.record.model
        return None if model is None else replace(model, size_bytes=size_bytes)

    def require_unchanged_split(self) -> None:
        """Refuse answers if the test split has changed while the model was served.

        Raises:
            ValueError: It has. Models get copies, so this is a bug of ours or a very odd model.
        """
        if self.test.checksum != self._checksum:
            raise ValueError(
                f"{self.name}: it wrote into the test split while it was served, so its answers do "
                "not count; have the model work on a copy of its input"
            )

    def prepare(self, config: ServeConfig, method: str, folder: Path) -> Artifact:
        """Write the model to a new folder, in the form that the backend opens.

        Raises:
            ValueError: The backend cannot run it in this precision; the message has the reason.
        """
        folder.mkdir(parents=True)
        return prepare(
            partial(load_network, self.folder, self._task.model_arguments(), list(config.trust)),
            combination(config.backend.runtime, method, config.backend.device),
            # In the memory format of the training, which convolutions were tuned for.
            channels_last=bool(self.record.config["trainer"]["channels_last"]),
            calibration=self._calibration(config.compression.num_calibration_samples),
            folder=folder,
        )

    def _calibration(self, num_samples: int) -> NDArray[np.float32]:
        """Training images; validation and test images must not influence the model."""
        images: list[Tensor] = []
        for batch, _ in self._data.train_dataloader():
            images.append(batch)
            if sum(map(len, images)) >= num_samples:
                break
        return _float32(images)[:num_samples]


def _arrays(batches: Iterable[Batch]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    pairs = list(batches)
    labels = torch.cat([labels for _, labels in pairs]).long()
    return _float32([images for images, _ in pairs]), labels.numpy()


def _float32(images: Sequence[Tensor]) -> NDArray[np.float32]:
    return np.ascontiguousarray(torch.cat(list(images)).float().numpy())


def served_quality(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Quality:
    """Quality of the answers of the served model.

    Args:
        logits: Shape (n, num_classes), in the order of the labels.
        labels: Shape (n,).
    """
    values = quality(torch.from_numpy(logits), torch.from_numpy(labels))
    return Quality(at="served", num_samples=len(labels), values=recorded(values))
