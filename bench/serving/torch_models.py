"""Loads models for PyTorch's backends, and describes their precision."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from bench.compression.artifact import Artifact
from bench.core.arrays import Inputs
from bench.serving.backend import Backend, BackendRefuses, Outputs, unusable
from bench.tasks.decoding import next_tokens
from bench.tasks.inference import InferenceModel
from bench.tasks.input_arrays import as_tensors, to_device


def open_torch(backend: Backend, artifact: Artifact) -> InferenceModel:
    """Load a model.pt in evaluation mode and set the backend's threads and precision.

    A model.pt may contain code: open only your own.

    Raises:
        BackendUnavailable: It is not a model that can be loaded here.
        FileNotFoundError: Its file is missing.
    """
    if backend.num_threads is not None:
        torch.set_num_threads(backend.num_threads)  # for the whole process
    _accept_read_only_arrays()
    backend.require_file(artifact)
    device = torch.device(backend.device)
    try:
        model = torch.load(artifact.path, map_location=device, weights_only=False)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file, or a user's class, may raise anything
        raise unusable(artifact, backend.name, error) from error
    if not isinstance(model, InferenceModel):
        raise unusable(artifact, backend.name, TypeError(f"it holds a {type(model).__name__}"))
    backend.precision = torch_precision(model, artifact.compression, device)
    return model.to(device).eval()


def inference(model: InferenceModel, device: str) -> Callable[[Inputs], Outputs]:
    """Make a function that computes outputs on the host, in inference mode."""

    @torch.inference_mode()
    def predict(inputs: Inputs) -> Outputs:
        # On a CPU, nothing is copied. From a GPU, the copy to the host waits for the result.
        outputs: Outputs = model(to_device(as_tensors(inputs), device)).cpu().numpy()
        return outputs

    return predict


@torch.inference_mode()
def generated_tokens(
    model: InferenceModel, prompt: Inputs, num_tokens: int, device: str
) -> Iterator[int]:
    """Continue a prompt; see Backend.generate.

    Raises:
        BackendRefuses: The network has no key-value cache.
    """
    network: Any = model.network
    if not (hasattr(network, "prefill") and hasattr(network, "step")):
        raise BackendRefuses(
            f"scenario=generate: {type(network).__name__} has no prefill() and step() (see "
            "bench.tasks.decoding.Decoder); without a key-value cache each token would read the "
            "whole sequence again, so use scenario=single_stream"
        )
    for token in next_tokens(network, torch.from_numpy(prompt).to(device), num_tokens):
        yield int(token)  # waits for the device


def _accept_read_only_arrays() -> None:
    """Use up torch's one-time warning about read-only arrays, which predictions do not write to."""
    array = np.zeros(1, np.float32)
    array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.from_numpy(array)


def torch_precision(model: InferenceModel, compression: str, device: torch.device) -> str:
    """The precision in which a torch model computes, in words.

    Args:
        model: The model that is served.
        compression: The method by which it was prepared.
        device: The device on which it runs.
    """
    if compression == "int8_dynamic":
        return "int8 in linear layers, float32 elsewhere"
    if compression == "int8_static":
        return "int8 in convolutions and linear layers, float32 elsewhere"
    dtypes = (weight.dtype for weight in model.parameters() if weight.is_floating_point())
    dtype = next(dtypes, torch.float32)
    name = str(dtype).removeprefix("torch.")
    if dtype is not torch.float32:
        return name
    # Both settings let torch compute products of float32 from fewer bits.
    tf32 = device.type == "cuda" and torch.backends.cudnn.allow_tf32
    reduced = ["tf32 in convolutions"] if tf32 else []
    matmul = torch.get_float32_matmul_precision()
    reduced += [f"matmul precision {matmul}"] if matmul != "highest" else []
    return f"{name} ({', '.join(reduced)})" if reduced else name
