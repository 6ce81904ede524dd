"""Quality of a trained model on a split, through the same forward pass as in training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor, nn

from bench.core.records.model import Quality
from bench.tasks.quality import quality, recorded


class Served(nn.Module):
    """The model as it was trained: with its precision, taking and giving tensors on its device."""

    def __init__(
        self,
        network: nn.Module,
        precision: Callable[[], AbstractContextManager[None]],
        *,
        copies_input: bool = False,
    ) -> None:
        """Wrap the network without a change.

        Args:
            network: Maps images to logits.
            precision: As in training.
            copies_input: Whether the network writes into its input, so that it is given a copy.
        """
        super().__init__()
        self.network = network
        self._precision = precision
        self._copies_input = copies_input

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images, (n, c, h, w) to (n, num_classes), float32."""
        with self._precision():
            logits: Tensor = self.network(images.clone() if self._copies_input else images)
        return logits.float()


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    *,
    device: torch.device,
    at: Literal["crossing", "end"],
) -> Quality:
    """Quality over all batches of a split.

    Args:
        model: Maps images (n, c, h, w) to logits (n, num_classes).
        batches: Images and labels (n,).
        device: Where the model is.
        at: Which state of the model this is.
    """
    model.eval()
    outputs: list[tuple[Tensor, Tensor]] = []
    with torch.inference_mode():
        for images, labels in batches:
            outputs.append((model(images.to(device)).cpu(), labels.cpu()))
    logits = torch.cat([logits for logits, _ in outputs])
    labels = torch.cat([labels for _, labels in outputs])
    return Quality(at=at, num_samples=len(labels), **recorded(quality(logits, labels)))
