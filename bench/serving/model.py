"""The model of a training run for bench.serve: its data as arrays, and the model on disk."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.compression.artifact import Artifact
from bench.compression.prepare import prepare
from bench.config.serve import ServeConfig
from bench.core.arrays import Inputs
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.run import RunRecord
from bench.core.records.task import TaskFacts
from bench.runs.find import trained_record
from bench.runs.trained import load_data, load_metrics, load_network
from bench.serving.find_backend import combination
from bench.tasks.classification import Classification
from bench.tasks.data import DataModule, test_batches
from bench.tasks.find_task import make_task
from bench.tasks.input_arrays import joined_array
from bench.tasks.loaders import Batch, RawSplit
from bench.tasks.quality import recorded

# Outputs that an evaluation gets at once: any number gives the same quality.
_EVALUATED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSplit:
    """The test split as arrays.

    Attributes:
        inputs: Shape (n, ...): float32, or another type that the data has.
        targets: What is true, shape (n, ...).
        raw: Pixels before they were standardised, if the data has them.
        output_shape: Shape of the outputs for one input.
    """

    inputs: Inputs
    targets: NDArray[Any]
    raw: RawSplit | None
    output_shape: tuple[int, ...]

    def __len__(self) -> int:
        """The number of inputs."""
        return len(self.targets)

    @property
    def checksum(self) -> int:
        """Checksum of inputs and targets, to notice a change."""
        return zlib.crc32(self.targets.tobytes(), zlib.crc32(self.inputs.tobytes()))


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
        name = self.record.config.get("task", Classification.name)
        self._task = make_task(name, self._data, load_metrics(folder, config.trust))
        inputs, targets = _arrays(test_batches(self._data))
        self.test = TestSplit(
            inputs=inputs,
            targets=targets.numpy(),
            raw=getattr(self._data, "raw_test", None),
            output_shape=self._task.output_shape(targets[:1])[1:],
        )
        # Taken before any model has seen the inputs.
        self._checksum = self.test.checksum

    @property
    def name(self) -> str:
        """The model's name, for errors."""
        return f"model {self.record.model.name}" if self.record.model else "the model"

    @property
    def target_metric(self) -> str | None:
        """The metric of the target that the model was trained to."""
        return self.record.target.metric if self.record.target else None

    def facts(self, size_bytes: int | None) -> ModelFacts | None:
        """The facts of the trained model, with the size in which it is served."""
        model = self.record.model
        return None if model is None else replace(model, size_bytes=size_bytes)

    def task_facts(self) -> TaskFacts:
        """What the model learned; a request of a language model is a sequence, not a token."""
        facts = self._task.facts()
        return replace(facts, sample="sequence") if facts.sample == "token" else facts

    def quality(self, outputs: NDArray[np.float32]) -> Quality:
        """The quality of what the served model answered, by the metrics of its task.

        Args:
            outputs: Shape (n, ...), in the order of the test split.
        """
        evaluation = self._task.evaluation("test")
        shaped = torch.from_numpy(outputs).reshape(-1, *self.test.output_shape)
        targets = torch.from_numpy(self.test.targets)
        for start in range(0, len(targets), _EVALUATED):
            rows = slice(start, start + _EVALUATED)
            evaluation.update(shaped[rows], targets[rows])
        values = recorded(evaluation.compute())
        return Quality(at="served", num_samples=evaluation.num_samples, values=values)

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

    def _calibration(self, num_samples: int) -> Inputs:
        """Inputs of the training split; those of the others must not influence the model."""
        inputs, num = [], 0
        for batch, targets in self._data.train_dataloader():
            inputs.append(batch)
            num += len(targets)
            if num >= num_samples:
                break
        return joined_array(inputs)[:num_samples]


def _arrays(batches: Iterable[Batch]) -> tuple[Inputs, torch.Tensor]:
    pairs = list(batches)
    return joined_array([inputs for inputs, _ in pairs]), torch.cat([each for _, each in pairs])
