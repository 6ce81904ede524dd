"""Writes a network as a model.pt for eager and torch.compile, also in half precision and int8."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from bench.compression.precisions import Combination
from bench.compression.processor import needs_smaller_int8
from bench.compression.torch_static import quantize_for_inductor
from bench.core.arrays import Inputs
from bench.core.errors import CompressionRefused, LibraryMissing, kind_and_line, needs_extra
from bench.tasks.inference import ByWeights, InferenceModel

_log = logging.getLogger(__name__)

_DTYPES = {"none": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def write_torch(
    make_network: Callable[[], nn.Module],
    path: Path,
    combination: Combination,
    channels_last: bool,
    calibration: Inputs,
) -> None:
    """Write a pickled InferenceModel; see prepare.

    Raises:
        CompressionRefused: The model has no layer to quantize, or it can neither be pickled nor
            rebuilt from its weights.
        LibraryMissing: The quantizer is not installed.
    """
    network, method = make_network(), combination.method
    if method == "int8_static":
        model = InferenceModel(quantize_for_inductor(network, calibration, combination))
    elif method == "int8_dynamic":
        model = _dynamic(network, channels_last, combination)
    else:
        model = InferenceModel(network, dtype=_DTYPES[method], channels_last=channels_last)
    try:
        _save(model, path)
    except MemoryError:
        raise
    except Exception as error:  # a user's network may contain anything, and fail in any way
        _log.info("not pickled whole (%s): saved as its weights", kind_and_line(error))
        _save_weights(model, make_network, path, error)


def _save(model: object, path: Path) -> None:
    # Not torch's default protocol, which cannot pickle a memory format.
    torch.save(model, path, pickle_protocol=pickle.DEFAULT_PROTOCOL)


def _save_weights(
    model: InferenceModel, make_network: Callable[[], nn.Module], path: Path, reason: Exception
) -> None:
    try:
        _save(ByWeights(model, make_network), path)
    except MemoryError:
        raise
    except Exception as error:
        raise CompressionRefused(
            f"this model can neither be pickled whole ({kind_and_line(reason)}) nor be rebuilt "
            f"from its weights ({kind_and_line(error)}); backends open a file, so let its class "
            "create anything that cannot be pickled in __init__"
        ) from error


def _dynamic(network: nn.Module, channels_last: bool, combination: Combination) -> InferenceModel:
    """Quantize linear layers to int8: weights per channel, inputs per row at each call."""
    with needs_extra("serving", "compression=int8_dynamic: torchao", LibraryMissing):
        from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    model = InferenceModel(network, channels_last=channels_last)
    # torchao replaces the classes of weights, which shows whether it has quantized any.
    types = {name: type(weight) for name, weight in model.named_parameters()}
    quantize_(
        model,
        Int8DynamicActivationInt8WeightConfig(
            set_inductor_config=False,  # it would change options of the whole process
            reduce_range=needs_smaller_int8(),
        ),
    )
    if all(type(weight) is types[name] for name, weight in model.named_parameters()):
        raise CompressionRefused(
            "compression=int8_dynamic: torchao quantizes linear layers, and this model has none; "
            + combination.advice([combination.backend])
        )
    for module in model.modules():
        vars(module).pop("extra_repr", None)  # only for printing, and cannot be pickled
    return model
