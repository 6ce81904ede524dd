"""What a drift detector is: it watches what is served, and raises an alarm."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.drift.samples import Floats, Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Held-out samples that the deployed model has not been trained on, and what it says of them.

    Attributes:
        inputs: What the model gets, after preprocessing, float32 (n, num_features); images are
            flattened.
        probabilities: Of the classes, float32 (n, num_classes).
        labels: Classes, int64 (n,).
    """

    inputs: Floats
    probabilities: Floats
    labels: Index

    @property
    def errors(self) -> NDArray[np.bool_]:
        """Whether the model is wrong, (n,)."""
        wrong: NDArray[np.bool_] = self.probabilities.argmax(1) != self.labels
        return wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Predictions of the deployed model whose labels have become known.

    Attributes:
        predictions: Numbers of the predictions in the stream, int64 (m,), in the order in which
            their labels became known.
        errors: Whether the model was wrong, (m,).
        propensities: The probability with which each label was to become known at all, (m,). It is
            below 1 if the system's own actions decide which labels it sees.
        least_propensity: The smallest of these probabilities in the whole stream, of labels that
            stay unknown too; 0 if some can never become known.
    """

    predictions: Index
    errors: NDArray[np.bool_]
    propensities: NDArray[np.float64]
    least_propensity: float = 1.0

    def __len__(self) -> int:
        return len(self.predictions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A stretch of the stream that the deployed model has served.

    Attributes:
        first: Number of its first prediction in the stream.
        inputs: What the model got, after fault and preprocessing, float32 (n, num_features).
        probabilities: Of the classes, as the network gave them, float32 (n, num_classes). A policy
            may have served them with other weights of the classes.
        outcomes: What became known by the end of the stretch, about this stretch or earlier ones.
    """

    first: int
    inputs: Floats
    probabilities: Floats
    outcomes: Outcomes

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def last(self) -> int:
        """Number of its last prediction in the stream."""
        return self.first + len(self) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What a detector says after a stretch.

    Attributes:
        alarm: Number of the prediction after which the alarm was raised; None if there is none.
            Nobody looks before the stretch ends, so it is the last one of the stretch.
        statistic: What the detector compares with its threshold, for people; None if it has none.
        threshold: The threshold, likewise.
    """

    alarm: int | None = None
    statistic: float | None = None
    threshold: float | None = None


class Detector(ABC):
    """Watches a stream for a change since the deployed model was trained.

    Attributes:
        name: Value of the key `detector`; a class of your own need not set it.
        needs_labels: Whether it watches errors, and so needs labels.
        is_controlled: Whether alpha bounds the probability of a false alarm in a whole stream.
        library: The module of the extra `maintain` that it needs; None if it needs none.
    """

    name: ClassVar[str] = "custom"
    needs_labels: ClassVar[bool] = False
    is_controlled: ClassVar[bool] = True
    library: ClassVar[str | None] = None

    @abstractmethod
    def start(
        self, reference: Reference, *, alpha: float, num_windows: int, window: int, seed: int
    ) -> None:
        """Begin to watch a model, or begin anew after an alarm.

        Args:
            reference: Of the deployed model.
            alpha: The probability of a false alarm until the end of the stream; a detector that is
                not controlled ignores it.
            num_windows: How often update() will be called at most.
            window: Predictions of a full window; a stretch may have fewer, never more.
            seed: For what the detector draws at random.

        Raises:
            ValueError: The reference is too small to keep that promise.
        """

    @abstractmethod
    def update(self, served: Served) -> Detection:
        """Look at a stretch. After an alarm, start() comes before the next one.

        Raises:
            ValueError: The labels that become known do not tell the error of the model.
        """

    def _generator(self, seed: int, *numbers: int) -> np.random.Generator:
        """Random numbers which no other part of the run draws from the same seed."""
        return np.random.default_rng([seed, int.from_bytes(self.name.encode(), "big"), *numbers])


def alpha_of_start(alpha: float, start: int) -> float:
    """The share of alpha that a detector gets when it is started anew, so that alpha holds for all.

    The shares of all starts, however many there are, add up to alpha.

    Args:
        alpha: The probability of a false alarm in the whole stream.
        start: Number of the start, from 1.
    Source: Bonferroni over the starts; the sum of 1/k^2 over all k is pi^2/6 (Euler).
    """
    return 6 * alpha / (math.pi * start) ** 2


def require_detection(name: str, made: object, served: Served) -> Detection:
    """Refuse what a detector of the user's must not return.

    Args:
        name: Of the detector.
        made: What its update() returned.
        served: What it looked at.

    Raises:
        ValueError: It is no Detection, or has an alarm at another time than now.
    """
    if not isinstance(made, Detection):
        raise ValueError(
            f"detector={name}: update() must return a Detection ({Detection.__module__}), and "
            f"returned a {type(made).__name__}"
        )
    if made.alarm is not None and made.alarm != served.last:
        raise ValueError(
            f"detector={name}: alarm={made.alarm}: must be the last prediction of what was looked "
            f"at, served.last ({served.last}), because nobody looks earlier"
        )
    return made
