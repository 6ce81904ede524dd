"""The model that is deployed: its network, its preprocessing, and what is known of its quality."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.drift.detectors.base import Reference
from bench.drift.estimates import adjusted
from bench.drift.preprocessing import Preprocessing
from bench.drift.samples import Floats, Index


@dataclass(kw_only=True, eq=False)
class DeployedModel:
    """A model that serves, or could.

    Attributes:
        number: 0 for the first model, then counting retrainings.
        network: Gives logits of shape (n, num_classes), on its device and in evaluation mode.
        preprocessing: Fitted on the samples that the network was trained on.
        precision: Enters the precision that it was trained in.
        device: Of the network.
        batch_size: Predictions that are made at a time.
        oldest_label: Number of the oldest prediction among its samples; 0 if initial ones are.
        newest_label: Number of the newest prediction whose label it has learned; 0 for the first.
        reference: Held-out samples, on which nothing about the model was chosen.
        class_weights: Factors of the probabilities of the classes, (num_classes,); None for none.
    """

    number: int
    network: nn.Module
    preprocessing: Preprocessing
    precision: Callable[[], AbstractContextManager[None]]
    device: torch.device
    batch_size: int
    oldest_label: int
    newest_label: int
    reference: Reference
    class_weights: NDArray[np.float64] | None = None

    def probabilities(self, inputs: Floats) -> Floats:
        """Let the network predict preprocessed inputs: the probabilities, (n, num_classes)."""
        return class_probabilities(
            self.network,
            inputs,
            precision=self.precision,
            device=self.device,
            batch_size=self.batch_size,
        )

    def classes(self, probabilities: Floats) -> Index:
        """What the model answers, int64 (n,), from the probabilities that its network gave."""
        if self.class_weights is not None:
            probabilities = adjusted(probabilities, self.class_weights)
        answers: Index = probabilities.argmax(1)
        return answers

    def answers(self, features: Floats, preprocessing: Preprocessing) -> Index:
        """What the model answers, int64 (n,), to raw features that are preprocessed like this."""
        return self.classes(self.probabilities(preprocessing.apply(features)))


@torch.inference_mode()
def class_probabilities(
    network: nn.Module,
    inputs: Floats,
    *,
    precision: Callable[[], AbstractContextManager[None]],
    device: torch.device,
    batch_size: int,
) -> Floats:
    """Predict the probabilities of the classes, float32 (n, num_classes).

    Args:
        network: Gives logits, in evaluation mode.
        inputs: After preprocessing, (n, ...).
        precision: Enters the precision of the predictions.
        device: Of the network.
        batch_size: Predictions that are made at a time.
    """
    parts = []
    for start in range(0, len(inputs), batch_size):
        with precision():
            # On a copy, because a model may write into its input.
            batch = torch.tensor(inputs[start : start + batch_size], device=device)
            logits = network(batch)
        parts.append(logits.float().softmax(1).cpu())
    joined: Floats = torch.cat(parts).numpy()
    return joined


def flattened(inputs: Floats) -> Floats:
    """One row for each input, (n, num_features), as detectors take them."""
    return inputs.reshape(len(inputs), -1)
