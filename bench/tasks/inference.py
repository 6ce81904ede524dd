"""A trained network in the form in which it is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from bench.tasks.input_arrays import Tensors

_IMAGE_DIMS = 4


class InferenceModel(nn.Module):
    """Takes float32 inputs and gives float32 outputs, in whatever type the network computes.

    The casts are part of the served model: they are timed, exported and compressed with it. Inputs
    that are not floats, such as tokens, stay as they are.
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
            network: Maps inputs (n, ...) to outputs (n, ...).
            dtype: The type of the weights, and of the floats that the network gets.
            channels_last: Keep images and weights in memory with the channels last.
        """
        super().__init__()
        self.channels_last = channels_last
        self.dtype = dtype
        # Convert once here, not for each request.
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(dtype=dtype).to(memory_format=layout).eval()
        self.eval()

    @override
    def forward(self, inputs: Tensors) -> Tensor:
        """Outputs (n, ...), float32, of inputs (n, ...), a tensor or tensors by name."""
        if isinstance(inputs, Tensor):
            outputs: Tensor = self.network(self._cast(inputs))
        else:
            outputs = self.network({name: self._cast(each) for name, each in inputs.items()})
        return outputs.float()

    def _cast(self, inputs: Tensor) -> Tensor:
        if not inputs.is_floating_point():
            return inputs
        # Only images have channels. The layout is no attribute: pickle would name it by some module
        # that has imported torch, and whoever opens the model would import that module, too.
        has_channels = self.channels_last and inputs.ndim == _IMAGE_DIMS
        layout = torch.channels_last if has_channels else torch.contiguous_format
        return inputs.to(dtype=self.dtype, memory_format=layout)


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
