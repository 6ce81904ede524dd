"""A network as a model.pt, for PyTorch eager and torch.compile: half precision and int8."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bench.compression.processor import computes_natively, needs_smaller_int8
from bench.compression.refused import CompressionRefused
from bench.compression.torch_static import statically_quantized
from bench.tasks.inference import InferenceModel

Calibration = NDArray[np.float32]
_DTYPES = {"none": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def write_torch(
    network: nn.Module,
    path: Path,
    *,
    runtime: str,
    method: str,
    channels_last: bool,
    calibration: Calibration,
    device: str,
) -> None:
    """Write a pickled InferenceModel; see prepare.

    Raises:
        CompressionRefused: The runtime would not compute in the asked precision.
    """
    makers: dict[str, Callable[[], InferenceModel]] = {
        "int8_dynamic": lambda: _dynamic(network, channels_last),
        "int8_static": lambda: _static(network, runtime, calibration, device),
    }
    make = makers.get(method, lambda: _in_dtype(network, method, channels_last, device))
    # torch's own choice of protocol cannot pickle a memory format.
    torch.save(make(), path, pickle_protocol=pickle.DEFAULT_PROTOCOL)


def _in_dtype(network: nn.Module, method: str, channels_last: bool, device: str) -> InferenceModel:
    if method != "none" and device == "cpu" and not computes_natively(method):
        raise CompressionRefused(
            f"compression={method}: this processor does not compute in {method}, and torch would "
            "convert to float32 and back in each operator; use compression=none, or int8_static"
        )
    if method == "bf16" and device == "cuda" and not torch.cuda.is_bf16_supported(False):
        raise CompressionRefused(
            "compression=bf16: this GPU only emulates bfloat16; use compression=fp16"
        )
    return InferenceModel(
        copy.deepcopy(network), dtype=_DTYPES[method], channels_last=channels_last
    )


def _dynamic(network: nn.Module, channels_last: bool) -> InferenceModel:
    """Linear layers in int8: weights by channel, inputs by row, at each call."""
    try:
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    except ImportError as error:
        raise CompressionRefused(
            "compression=int8_dynamic: torchao is not installed; "
            "pip install 'operational-metrics-bench[serving]'"
        ) from error
    model = InferenceModel(copy.deepcopy(network), channels_last=channels_last)
    before = {name: type(one) for name, one in model.named_parameters()}
    quantize_(
        model,
        Int8DynamicActivationInt8WeightConfig(
            set_inductor_config=False,  # options of the whole process
            reduce_range=needs_smaller_int8(),
        ),
    )
    if all(type(one) is before[name] for name, one in model.named_parameters()):
        raise CompressionRefused(
            "compression=int8_dynamic: torchao quantizes linear layers, and this model has none; "
            "use compression=int8_static"
        )
    for module in model.modules():
        vars(module).pop("extra_repr", None)  # for printing only, and cannot be pickled
    return model


def _static(
    network: nn.Module, runtime: str, calibration: Calibration, device: str
) -> InferenceModel:
    """Convolutions and linear layers in int8, for Inductor."""
    if runtime != "compile":
        raise CompressionRefused(
            f"compression=int8_static: backend={runtime} would compute the quantized graph in "
            "float32; use backend=compile or backend=onnxruntime"
        )
    if device != "cpu":
        raise CompressionRefused(
            "compression=int8_static: PyTorch's quantized graphs are for x86 processors; use "
            "device=cpu, or compression=fp16"
        )
    return InferenceModel(statically_quantized(copy.deepcopy(network), calibration))
