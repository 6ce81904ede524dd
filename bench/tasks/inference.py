"""A trained network in the form in which it is served."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from typing_extensions import override


class InferenceModel(nn.Module):
    """Float32 images in, float32 logits out, whatever the network computes in.

    The casts belong to the model that is served: they are timed, exported and compressed with it.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> None:
        """Take the network over, in evaluation mode.

        Args:
            network: Maps images (n, c, h, w) to logits (n, num_classes).
            dtype: Of the weights, and of the images as the network gets them.
            channels_last: Whether images and weights lie in memory with the channels last.
        """
        super().__init__()
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._dtype = dtype
        self.network = network.to(dtype=dtype).to(memory_format=self._memory_format).eval()
        self.eval()

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, num_classes), float32, of images (n, c, h, w), float32."""
        logits: Tensor = self.network(
            images.to(dtype=self._dtype, memory_format=self._memory_format)
        )
        return logits.float()
