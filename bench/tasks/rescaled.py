"""A network for regression, with the scale of its outputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override


class Rescaled(nn.Module):
    """A network whose outputs are scaled to the unit of the targets."""

    def __init__(self, network: nn.Module, num_outputs: int) -> None:
        """Take the network over; the scale is that of outputs that need none.

        Args:
            network: Maps inputs to (n, num_outputs), or (n,) for one output.
            num_outputs: Numbers of one target.
        """
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(num_outputs))
        self.register_buffer("std", torch.ones(num_outputs))

    @override
    def forward(self, inputs: Tensor) -> Any:
        """Outputs in the unit of the targets."""
        outputs = self.network(inputs)
        # Whatever is no tensor is refused later, where the message can say what the task needs.
        return outputs * self.std + self.mean if isinstance(outputs, Tensor) else outputs
