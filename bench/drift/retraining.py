"""Trains the models of a deployment, with the training of bench.train.

Labelled samples are divided at random into three parts: to train on, to decide when the target is
reached, and a reference on which nothing is chosen. Without the third part, a detector would take
the lucky evaluation that ended the training for the model's quality.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl

from bench.config.maintain import MaintainConfig
from bench.config.train import TrainConfig
from bench.core.errors import DivergedError
from bench.core.records.target import TargetResult
from bench.core.store import CurveWriter
from bench.core.target import target_result
from bench.drift.data import Labelled, LabelledData
from bench.drift.detectors.base import Reference
from bench.drift.model import DeployedModel, class_probabilities, flattened
from bench.drift.preprocessing import Preprocessing
from bench.drift.samples import Floats, Index
from bench.measure.nested import NestedWindow
from bench.measure.window import Window
from bench.training.parts import Parts, task_parts_on
from bench.training.profiler import TargetProfiler, nothing
from bench.training.rank import build_profiler

# A part of so few samples decides nothing.
LEAST_PART = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Labelled samples to train a model on.

    Attributes:
        features: As the log of the serving path has them, (n, ...).
        labels: Classes, (n,).
        oldest: Number of the oldest prediction among them; 0 if there are initial samples.
        newest: Number of the newest prediction among them; 0 if all are initial samples.
    """

    features: Floats
    labels: Index
    oldest: int
    newest: int

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model that was trained, and how.

    Attributes:
        model: The model; None if the training diverged.
        result: When it reached its target.
        num_samples: Samples that it was trained on.
        samples: Training samples seen, over all epochs.
        reference_places: Places of the reference among the samples that it was given, (n,).
        init_s: Seconds of its set-up.
        accuracy: On the samples that decided when the target was reached.
        error: Why there is no model.
    """

    model: DeployedModel | None
    result: TargetResult
    num_samples: int
    samples: int
    reference_places: Index
    init_s: float
    accuracy: float | None
    error: str = ""


def training_seed(seed: int, window: int | None) -> int:
    """The seed of a retraining at the end of a window; None is the initial training.

    It depends on the window and not on how many retrainings came before. So all policies that
    retrain there get the same model, and an oracle can try it in advance.
    """
    source = [seed, 0 if window is None else window + 1]
    return int(np.random.SeedSequence(source).generate_state(1)[0])


def divide(num: int, config: MaintainConfig, seed: int) -> tuple[Index, Index, Index]:
    """Divide samples at random into training, validation and reference; places, each ascending."""
    order = np.random.default_rng([seed, num]).permutation(num)
    num_validation = round(num * config.retrain.validation_frac)
    num_reference = round(num * config.retrain.reference_frac)
    ends = [num - num_validation - num_reference, num - num_reference]
    train, validation, reference = np.split(order, ends)
    return np.sort(train), np.sort(validation), np.sort(reference)


def least_samples(config: MaintainConfig) -> int:
    """The fewest labelled samples that can be divided into three parts, with one whole batch."""
    options = config.retrain
    train_frac = 1 - options.validation_frac - options.reference_frac
    parts = (
        (config.batch_size, train_frac),
        (LEAST_PART, options.validation_frac),
        (LEAST_PART, options.reference_frac),
    )
    return max(int(np.ceil(least / frac)) + 1 for least, frac in parts)


class ModelTrainer:
    """Trains one model after another, in one process and on one set of open meters."""

    def __init__(
        self, config: MaintainConfig, num_classes: int, window: Window, folder: Path
    ) -> None:
        """Nothing is trained yet.

        Args:
            config: Of the deployment.
            num_classes: Of the stream.
            window: The open window of the deployment.
            folder: Receives a folder for each training, with its curve.
        """
        self._config = config
        self._num_classes = num_classes
        self._window = window
        self._folder = folder

    def train(
        self,
        samples: TrainingSet,
        *,
        number: int,
        window: int | None,
        warm_from: DeployedModel | None = None,
    ) -> Trained:
        """Train a model to the target, as far as it goes.

        Args:
            samples: What it may learn from.
            number: Number of the model.
            window: The window at whose end it is trained; None for the initial training.
            warm_from: The model to start from; None starts from random weights.

        Raises:
            ValueError: The model does not fit the data, or there are too few samples.
        """
        nested = NestedWindow(self._window)
        seed = training_seed(self._config.seed, window)
        train, validation, reference = divide(len(samples), self._config, seed)
        preprocessing = (
            Preprocessing.fit(samples.features[train])
            if warm_from is None
            else warm_from.preprocessing  # its weights were trained for these inputs
        )

        def labelled(places: Index) -> Labelled:
            return Labelled(preprocessing.apply(samples.features[places]), samples.labels[places])

        data = LabelledData(
            batch_size=self._config.batch_size,
            seed=seed,
            train=labelled(train),
            validation=labelled(validation),
            num_classes=self._num_classes,
        )
        weights = None if warm_from is None else warm_from.network.state_dict()
        parts = self._parts(data, seed, weights)
        profiler, error = self._fit(parts, nested, number)
        model = None
        if not error:
            model = self._model(parts, preprocessing, labelled(reference), number, samples)
        last = profiler.rows[-1] if profiler.rows else None
        return Trained(
            model=model,
            result=target_result(
                profiler.rows,
                profiler.target,
                finished=profiler.finished,
                spent=profiler.spent,
                censored=not error,
            ),
            num_samples=len(train),
            samples=profiler.seen.samples or 0,
            reference_places=reference,
            init_s=nested.init_s,
            accuracy=None if last is None else last.quality.get("accuracy"),
            error=error,
        )

    def _parts(self, data: LabelledData, seed: int, weights: dict[str, Any] | None) -> Parts:
        pl.seed_everything(seed, workers=True, verbose=False)
        return task_parts_on(train_config(self._config, seed), data, None, weights=weights)

    def _fit(self, parts: Parts, nested: NestedWindow, number: int) -> tuple[TargetProfiler, str]:
        """Train; return what was measured, and why the training diverged."""
        parts.prepare({}, "model")
        folder = self._folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        curve = CurveWriter(folder)
        profiler = build_profiler(parts, nested, on_row=curve.append, on_end=nothing)
        try:
            parts.train(profiler)
        except DivergedError as error:
            return profiler, str(error)
        finally:
            curve.close()
        return profiler, ""

    def _model(
        self,
        parts: Parts,
        preprocessing: Preprocessing,
        reference: Labelled,
        number: int,
        samples: TrainingSet,
    ) -> DeployedModel:
        network = parts.module.network.to(parts.device).eval()
        precision: Callable[[], Any] = parts.trainer.precision_plugin.forward_context
        batch_size = self._config.serving_batch_size
        probabilities = class_probabilities(
            network,
            reference.inputs,
            precision=precision,
            device=parts.device,
            batch_size=batch_size,
        )
        return DeployedModel(
            number=number,
            network=network,
            preprocessing=preprocessing,
            precision=precision,
            device=parts.device,
            batch_size=batch_size,
            oldest_label=samples.oldest,
            newest_label=samples.newest,
            reference=Reference(
                inputs=flattened(reference.inputs),
                probabilities=probabilities,
                labels=reference.labels,
            ),
        )


def train_config(config: MaintainConfig, seed: int) -> TrainConfig:
    """The configuration of one training of a deployment."""
    return TrainConfig(
        seed=seed,
        batch_size=config.batch_size,
        lr=config.lr,
        precision=config.precision,
        data={"_target_": f"{LabelledData.__module__}.{LabelledData.__name__}"},
        model=config.model,
        optimizer=config.optimizer,
        schedule=config.schedule,
        target=config.target,
        budget=config.budget,
        trainer=config.trainer,
        meter=config.meter,
        price=config.price,
        grid=config.grid,
    )
