"""A trained network in the form in which it is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override


class InferenceModel(nn.Module):
    """Takes float32 images and gives float32 logits, in whatever type the network computes.

    The casts are part of the served model: they are timed, exported and compressed with it.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        dtype: torch.dtype = torch.float32,
        channels_last: bool = False,
    ) -> None:
        """Take the network over and put it into evaluation mode.

        Args:
            network: Maps images (n, c, h, w) to logits (n, num_classes).
            dtype: The type of the weights, and of the images that the network gets.
            channels_last: Keep images and weights in memory with the channels last.
        """
        super().__init__()
        self.channels_last = channels_last
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.dtype = dtype
        # Convert once here, not for each request.
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
    """Pickles an InferenceModel as its weights and a function that makes its network again.

    Some networks cannot be pickled whole: they hold a lambda, a lock, an open file or a class that
    is defined in a function. Unpickling gives an InferenceModel.
    """

    def __init__(self, model: InferenceModel, make_network: Callable[[], nn.Module]) -> None:
        """Keep the model and the function.

        Args:
            model: The model as it is served.
            make_network: A function that can be pickled. It makes the network as it was before it
                became `model`.
        """
        self._model = model
        self._make_network = make_network

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        model = self._model
        return _make_again, (
            self._make_network,
            model.dtype,
            model.channels_last,
            model.state_dict(),
        )


def _make_again(
    make_network: Callable[[], nn.Module],
    dtype: torch.dtype,
    channels_last: bool,
    state: Mapping[str, Any],
) -> InferenceModel:
    model = InferenceModel(make_network(), dtype=dtype, channels_last=channels_last)
    # Assign the weights instead of copying them: quantized ones have another class.
    model.load_state_dict(state, assign=True)
    return model
