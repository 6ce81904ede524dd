"""A trained network in the form in which it is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

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
        self.channels_last = channels_last
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.dtype = dtype
        self.network = network.to(dtype=dtype).to(memory_format=self._memory_format).eval()
        self.eval()

    @override
    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, num_classes), float32, of images (n, c, h, w), float32."""
        logits: Tensor = self.network(
            images.to(dtype=self.dtype, memory_format=self._memory_format)
        )
        return logits.float()


class ByWeights:
    """An InferenceModel that is pickled as its weights and what makes its network again.

    For networks that cannot be pickled whole: they hold a lambda, a lock, an open file or a class
    that is defined in a function. What is unpickled is an InferenceModel.
    """

    def __init__(self, model: InferenceModel, make_network: Callable[[], nn.Module]) -> None:
        """Keep both.

        Args:
            model: As it is served.
            make_network: Can be pickled, and makes the network as it was before it became `model`.
        """
        self._model = model
        self._make_network = make_network

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        model = self._model
        return _made_again, (
            self._make_network,
            model.dtype,
            model.channels_last,
            model.state_dict(),
        )


def _made_again(
    make_network: Callable[[], nn.Module],
    dtype: torch.dtype,
    channels_last: bool,
    state: Mapping[str, Any],
) -> InferenceModel:
    model = InferenceModel(make_network(), dtype=dtype, channels_last=channels_last)
    # Assigned and not copied: quantized weights are of another class than those they replace.
    model.load_state_dict(state, assign=True)
    return model
