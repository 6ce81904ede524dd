"""Divides labelled samples for a training.

They are divided at random into three parts: to train on, to decide when the target is reached, and
a reference on which nothing is chosen. Without the third part, a detector would take the lucky
evaluation that ended the training for the model's quality.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.config.maintain import MaintainConfig
from bench.drift.data import Labelled, LabelledData
from bench.drift.preprocessing import Preprocessing
from bench.drift.samples import Floats, Index

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


def divide(num: int, config: MaintainConfig, seed: int) -> tuple[Index, Index, Index]:
    """Divide samples at random into training, validation and reference; places, each ascending."""
    order = np.random.default_rng([seed, num]).permutation(num)
    num_validation = round(num * config.retrain.validation_frac)
    num_reference = round(num * config.retrain.reference_frac)
    ends = [num - num_validation - num_reference, num - num_reference]
    train, validation, reference = np.split(order, ends)
    return np.sort(train), np.sort(validation), np.sort(reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """Labelled samples, divided and preprocessed.

    Attributes:
        data: To train on, and to decide when the target is reached.
        preprocessing: Fitted on the samples to train on, or that of a deployed model.
        reference: Samples on which nothing is chosen.
        reference_places: Their places among all samples, (n,).
    """

    data: LabelledData
    preprocessing: Preprocessing
    reference: Labelled
    reference_places: Index


def divided(
    samples: TrainingSet,
    config: MaintainConfig,
    *,
    num_classes: int,
    seed: int,
    preprocessing: Preprocessing | None = None,
) -> Division:
    """Divide and preprocess the samples of one training.

    Args:
        samples: What the model may learn from.
        config: Of the deployment.
        num_classes: Of the stream.
        seed: Of the training.
        preprocessing: That of the model to start from; None fits one.
    """
    train, validation, reference = divide(len(samples), config, seed)
    applied = preprocessing or Preprocessing.fit(samples.features[train])

    def labelled(places: Index) -> Labelled:
        return Labelled(applied.apply(samples.features[places]), samples.labels[places])

    data = LabelledData(
        batch_size=config.batch_size,
        seed=seed,
        train=labelled(train),
        validation=labelled(validation),
        num_classes=num_classes,
    )
    return Division(
        data=data,
        preprocessing=applied,
        reference=labelled(reference),
        reference_places=reference,
    )


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
