"""Computes the quality of a trained model on a split, with the forward pass of the training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from bench.core.records.model import Quality
from bench.tasks.loaders import Batch
from bench.tasks.quality import quality, recorded
from bench.training.contract import Precision


class Served(nn.Module):
    """The trained model in the precision of its training, from images to float32 logits."""

    def __init__(
        self, network: nn.Module, precision: Precision, *, copies_input: bool = False
    ) -> None:
        """Wrap the network without changing it.

        Args:
            network: Maps images to logits.
            precision: Enters the precision of the training.
            copies_input: Give the network a copy of its input, because it writes into it.
        """
        super().__init__()
        self.network = network
        self._precision = precision
        self._copies_input = copies_input

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Logits of images, (n, c, h, w) to (n, num_classes), float32."""
        with self._precision():
            logits: Tensor = self.network(images.clone() if self._copies_input else images)
        return logits.float()


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    device: torch.device,
    at: Literal["crossing", "end"],
) -> Quality:
    """Compute the quality over all batches of a split.

    Args:
        model: Maps images (n, c, h, w) to logits (n, num_classes).
        batches: Images and labels (n,).
        device: The device of the model.
        at: The state of training that the model is in.
    """
    model.eval()
    outputs: list[Batch] = []
    with torch.inference_mode():
        for images, labels in batches:
            # Collect on the CPU: the logits of a large split need not fit on the device.
            outputs.append((model(images.to(device)).cpu(), labels.cpu()))
    logits = torch.cat([logits for logits, _ in outputs])
    labels = torch.cat([labels for _, labels in outputs])
    return Quality(at=at, num_samples=len(labels), values=recorded(quality(logits, labels)))
