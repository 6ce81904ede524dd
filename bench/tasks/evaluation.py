"""Accumulators: they take the batches of one evaluation, and then compute its quality."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from bench.tasks.binary_quality import binary_quality
from bench.tasks.group_quality import group_quality
from bench.tasks.multilabel_quality import multilabel_quality, predicted_labels
from bench.tasks.quality import predicted_classes, quality

SplitQuality = Callable[[Tensor, Tensor], dict[str, float]]


class Evaluation(Protocol):
    """One evaluation of a split."""

    @property
    def num_samples(self) -> int:
        """The number of samples so far."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch of what the model gave and what is true."""

    def compute(self) -> dict[str, float]:
        """Compute the quality of all batches; a value that is undefined is NaN."""


class SplitEvaluation:
    """Keeps outputs and targets, for qualities that are not means over batches, such as F1.

    They stay on the device where they are; move them to the CPU first if a split does not fit.
    """

    def __init__(self, split_quality: SplitQuality) -> None:
        """Start without a batch.

        Args:
            split_quality: Computes the quality of a split from its outputs and targets.
        """
        self._split_quality = split_quality
        self._outputs: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Keep a batch.

        Args:
            outputs: What the model gave, shape (n, ...).
            targets: What is true, shape (n, ...).
        """
        self._outputs.append(outputs.detach())
        self._targets.append(targets)

    @property
    def num_samples(self) -> int:
        """The number of samples so far."""
        return sum(len(targets) for targets in self._targets)

    def compute(self) -> dict[str, float]:
        """Compute the quality of all batches.

        Raises:
            ValueError: There was no batch, or outputs and targets do not match.
        """
        if not self._targets:
            raise ValueError("no batch to evaluate: the split needs at least one sample")
        return self._split_quality(torch.cat(self._outputs), torch.cat(self._targets))


def classification_quality(
    logits: Tensor, labels: Tensor, *, groups: Tensor | None = None
) -> dict[str, float]:
    """Compute the quality for any number of classes, and that of the groups if there are any.

    Args:
        logits: Unnormalised scores, shape (n, num_classes), n >= 1.
        labels: Classes, int64 of shape (n,).
        groups: Index of the group of each sample, int64 of shape (n,).

    Returns:
        The values of quality(), or of binary_quality() for two classes, and of group_quality().

    Raises:
        ValueError: The shapes do not match, or a label or group is not one.
    """
    num_classes = logits.shape[-1]
    values = (binary_quality if num_classes == 2 else quality)(logits, labels)
    if groups is None:
        return values
    predicted = predicted_classes(logits)
    return values | group_quality(predicted, labels, groups, num_classes=num_classes)


def labelling_quality(
    logits: Tensor, targets: Tensor, *, groups: Tensor | None = None
) -> dict[str, float]:
    """Compute the quality for several labels, and that of the groups if there are any.

    Args:
        logits: Log-odds of each label, shape (n, num_labels), n >= 1.
        targets: 1 where a sample has a label, else 0, shape (n, num_labels).
        groups: Index of the group of each sample, int64 of shape (n,).

    Returns:
        The values of multilabel_quality() and of group_quality().

    Raises:
        ValueError: The shapes do not match, or a target or group is not one.
    """
    values = multilabel_quality(logits, targets)
    if groups is None:
        return values
    predicted = predicted_labels(logits)
    return values | group_quality(predicted, targets, groups, num_classes=2)
