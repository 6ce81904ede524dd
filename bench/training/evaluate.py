"""Computes the quality of a trained model on a split, with the forward pass of the training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from bench.core.records.model import Quality
from bench.tasks.evaluation import Evaluation
from bench.tasks.loaders import Batch
from bench.tasks.quality import recorded
from bench.training.contract import Precision


class Served(nn.Module):
    """The trained model in the precision of its training, from inputs to float32 outputs."""

    def __init__(
        self, network: nn.Module, precision: Precision, *, copies_input: bool = False
    ) -> None:
        """Wrap the network without changing it.

        Args:
            network: Maps inputs to outputs.
            precision: Enters the precision of the training.
            copies_input: Give the network a copy of its input, because it writes into it.
        """
        super().__init__()
        self.network = network
        self._precision = precision
        self._copies_input = copies_input

    @override
    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of inputs, float32."""
        with self._precision():
            outputs: Tensor = self.network(inputs.clone() if self._copies_input else inputs)
        return outputs.float()


def evaluate(
    model: nn.Module,
    evaluation: Evaluation,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    at: Literal["crossing", "end"],
) -> Quality:
    """Compute the quality over all batches of a split.

    Args:
        model: Maps inputs to outputs.
        evaluation: A new one of the task for this split.
        batches: Inputs and targets.
        device: The device of the model.
        at: The state of training that the model is in.
    """
    model.eval()
    with torch.inference_mode():
        for inputs, targets in batches:
            # Evaluate on the CPU: the outputs of a large split need not fit on the device.
            evaluation.update(model(inputs.to(device)).cpu(), targets.cpu())
    values = recorded(evaluation.compute())
    return Quality(at=at, num_samples=evaluation.num_samples, values=values)
