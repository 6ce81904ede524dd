"""What a maintenance policy is: at the end of each window it decides what to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.drift.detectors.base import Detection, Reference, Served


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a policy can know at the end of a window.

    Attributes:
        window: The number of the window, from 0.
        num_windows: Number of windows of the stream.
        target: The accuracy to hold.
        served: The window; its outcomes are the labels that became known in it.
        reference: Held-out samples of the deployed model.
        detection: What the detector says; None without a detector.
        num_new_labels: Samples whose labels became known since the deployed model was trained.
        windows_since_retraining: Windows served since the last retraining was begun.
        error_price_usd: Price of one wrong prediction.
        retraining_usd: Price of the last retraining, people and labels included; at first that of
            the initial training. None if nothing measures it.
    """

    window: int
    num_windows: int
    target: float
    served: Served
    reference: Reference
    detection: Detection | None
    num_new_labels: int
    windows_since_retraining: int
    error_price_usd: float
    retraining_usd: float | None

    @property
    def last_retraining(self) -> int:
        """The window at whose end the last retraining was begun; -1 for the initial training."""
        return self.window - self.windows_since_retraining


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now.

    Attributes:
        retrain: Whether to train a new model.
        class_weights: Factors of the predicted probabilities of the classes from now on, float64
            (num_classes,); None leaves them as they are.
        reason: Why, in a few words, for the event.
        estimate: The accuracy that the policy believes the model to have; None if it has no belief.
    """

    retrain: bool = False
    class_weights: NDArray[np.float64] | None = None
    reason: str = ""
    estimate: float | None = None


class Policy(ABC):
    """Decides at the end of each window. It keeps no clock, and sees what View has and no more.

    Attributes:
        name: Value of the key `policy`; a class of your own need not set it.
        needs_labels: Whether it can decide nothing without labels. Retraining needs them in any
            case.
        needs_detector: Whether it needs alarms.
        needs_error_price: Whether it needs the price of a wrong prediction, and of a retraining.
        retrains: Whether it ever retrains.
    """

    name: ClassVar[str] = "custom"
    needs_labels: ClassVar[bool] = False
    needs_detector: ClassVar[bool] = False
    needs_error_price: bool = False
    retrains: ClassVar[bool] = True

    @abstractmethod
    def decide(self, view: View) -> Decision:
        """Decide at the end of a window."""


def require_decision(name: str, made: object, num_classes: int) -> Decision:
    """Refuse what a policy of the user's must not return.

    Args:
        name: Of the policy.
        made: What its decide() returned.
        num_classes: Number of classes.

    Raises:
        ValueError: It is no Decision, or has weights that no probability can be multiplied by.
    """
    if not isinstance(made, Decision):
        raise ValueError(
            f"policy={name}: decide() must return a Decision ({Decision.__module__}), and returned "
            f"a {type(made).__name__}"
        )
    weights = made.class_weights
    if weights is not None and not (
        np.shape(weights) == (num_classes,)
        and np.all(np.isfinite(weights))
        and np.all(weights >= 0)
        and np.any(weights > 0)
    ):
        raise ValueError(
            f"policy={name}: class_weights must be {num_classes} finite numbers of at least 0, not "
            f"all 0, and are {weights}"
        )
    return made
