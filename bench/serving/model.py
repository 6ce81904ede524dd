"""The model of a training run for bench.serve: its data as arrays, and the model on disk."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.compression.artifact import Artifact
from bench.compression.prepare import prepare
from bench.config.serve import ServeConfig
from bench.config.train import MODULE
from bench.core.arrays import Inputs
from bench.core.records.model import ModelFacts, Quality
from bench.core.records.run import RunRecord
from bench.core.records.task import TaskFacts
from bench.runs.find import trained_record
from bench.runs.trained import load_data, load_metrics
from bench.serving.find_backend import combination
from bench.serving.planted_skew import plant_skew
from bench.serving.sources import ModuleSource, Source, TaskSource
from bench.tasks.classification import Classification
from bench.tasks.find_task import make_task
from bench.tasks.input_arrays import as_tensors, joined_array
from bench.tasks.lightning_module import num_rows

_BATCH = 64  # any size gives the same outputs up to rounding


class TrainedModel:
    """A training run, its data and its network."""

    def __init__(self, folder: Path, config: ServeConfig) -> None:
        """Load the record, the data and the network.

        Raises:
            ValueError: The run cannot be served, or its checkpoint is missing or corrupt.
            FileNotFoundError: The files of its data are missing.
        """
        self.folder = folder
        self.record: RunRecord = trained_record(
            folder, allow_missed=config.allow_missed, allow_module=True
        )
        self._task_facts: TaskFacts | None = self.record.task
        self._source = self._open_source(config)
        self.test = test = self._source.test_split()
        if config.skew is not None:
            self.test = replace(test, skew=plant_skew(config.skew, test.scale, test.inputs))
        # Taken before any model has seen the inputs.
        self._checksum = self.test.checksum

    def _open_source(self, config: ServeConfig) -> Source:
        data = load_data(self.folder, config.trust, root=config.data_root)
        self._require_same_data(getattr(data, "data_hash", None))
        name = self.record.config.get("task", Classification.name)
        if name == MODULE:
            return ModuleSource(self.folder, data, config.trust)
        task = make_task(name, data, load_metrics(self.folder, config.trust))
        # A run of an earlier version has none in its record.
        self._task_facts = task.facts()
        return TaskSource(task=task, folder=self.folder, trust=config.trust)

    def _require_same_data(self, found: str | None) -> None:
        """Refuse other data: rows of its test split may have been trained on."""
        known = self.record.task.data_hash if self.record.task else None
        if None not in (known, found) and known != found:
            raise ValueError(
                f"{self.folder}: its data has changed since the training; give the folder of the "
                "data as it was in data_root, or train again"
            )

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

    def task_facts(self) -> TaskFacts | None:
        """What the model learned; a request of a language model is a sequence, not a token."""
        facts = self._task_facts
        return replace(facts, sample="sequence") if facts and facts.sample == "token" else facts

    def quality(self, outputs: NDArray[np.float32]) -> Quality | None:
        """The quality of what the served model answered; None for a user's module.

        Args:
            outputs: Shape (n, ...), in the order of the test split.
        """
        return self._source.quality(outputs, self.test)

    def outputs(self) -> NDArray[np.float32]:
        """What the trained network itself gives for the test split, on the CPU in PyTorch."""
        network = self._source.network_maker()()
        batches = np.array_split(self.test.inputs, math.ceil(len(self.test) / _BATCH))
        with torch.inference_mode():
            parts = [network(as_tensors(batch)).float().numpy() for batch in batches]
        return np.concatenate(parts)

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
            self._source.network_maker(),
            combination(config.backend.runtime, method, config.backend.device),
            # In the memory format of the training, which convolutions were tuned for.
            channels_last=bool(self.record.config["trainer"]["channels_last"]),
            calibration=self._calibration(config.compression.num_calibration_samples),
            folder=folder,
        )

    def _calibration(self, num_samples: int) -> Inputs:
        """Inputs of the training split; those of the others must not influence the model."""
        batches: list[Any] = []
        for batch in self._source.training_inputs():
            batches.append(batch)
            if sum(map(num_rows, batches)) >= num_samples:
                break
        return joined_array(batches)[:num_samples]
