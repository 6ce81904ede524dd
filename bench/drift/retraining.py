"""Trains the models of a deployment, with the training of bench.train."""

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
from bench.drift.data import LabelledData
from bench.drift.detectors.base import Reference
from bench.drift.division import Division, TrainingSet, divided
from bench.drift.model import DeployedModel, class_probabilities, flattened
from bench.drift.samples import Index
from bench.measure.nested import NestedWindow
from bench.measure.window import Window
from bench.training.parts import Parts, task_parts_on
from bench.training.profiler import TargetProfiler, nothing
from bench.training.rank import build_profiler


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
        division = divided(
            samples,
            self._config,
            num_classes=self._num_classes,
            seed=seed,
            # The weights of the deployed model were trained for inputs like these.
            preprocessing=None if warm_from is None else warm_from.preprocessing,
        )
        weights = None if warm_from is None else warm_from.network.state_dict()
        parts = self._parts(division.data, seed, weights)
        profiler, error = self._fit(parts, nested, number)
        model = None
        if not error:
            model = self._model(parts, division, number, samples)
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
            num_samples=division.data.num_train_samples,
            samples=profiler.seen.samples or 0,
            reference_places=division.reference_places,
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
        self, parts: Parts, division: Division, number: int, samples: TrainingSet
    ) -> DeployedModel:
        reference = division.reference
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
            preprocessing=division.preprocessing,
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
