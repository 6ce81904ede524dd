"""Writes a network as a model.onnx for ONNX Runtime and OpenVINO, also in smaller precisions."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.onnx import OnnxExporterError

from bench.compression.onnx_int8 import quantize_dynamically, quantize_statically
from bench.compression.precisions import Combination
from bench.core.arrays import Inputs
from bench.core.errors import CompressionRefused, LibraryMissing, install_hint, kind_and_line
from bench.tasks.inference import InferenceModel
from bench.tasks.input_arrays import example_and_shapes

_log = logging.getLogger(__name__)

# A protocol buffer file must be smaller than 2 GB: larger weights go to a second file.
_MAX_SINGLE_FILE_BYTES = 1_000_000_000


def write_onnx(
    network: nn.Module, folder: Path, combination: Combination, calibration: Inputs
) -> None:
    """Write model.onnx to a folder, with large weights in a second file; see prepare.

    The output is called `outputs`. The input is called `inputs`; if there are several, each has its
    own name. Any batch size of at least 1 will do.

    Raises:
        CompressionRefused: The model cannot be exported, or would not be computed in int8.
        LibraryMissing: A library that exports or converts is not installed.
    """
    backend = combination.backend
    writers: dict[str, Callable[[Path, Path], None]] = {
        "int8_dynamic": quantize_dynamically,
        "int8_static": lambda exported, path: quantize_statically(
            exported, path, calibration, operators=backend.int8_operators
        ),
    }
    if not backend.half_at_open:
        writers["fp16"] = lambda exported, path: _to_float16(exported, path, backend.name)
    with tempfile.TemporaryDirectory() as temporary:
        write = writers.get(combination.method)
        exported = (folder / "model.onnx") if write is None else Path(temporary) / "exported.onnx"
        _export(network, exported, calibration, combination)
        if write is not None:
            write(exported, folder / "model.onnx")


def _export(network: nn.Module, path: Path, calibration: Inputs, combination: Combination) -> None:
    # Not channels_last: in ONNX, channels come first, so it would only add transpositions.
    model = InferenceModel(network)
    # A model that cannot be exported can still be served by torch itself.
    in_torch = [backend for backend in combination.known if backend.kind == "torch"]
    torch_instead = combination.advice(in_torch)
    example, shapes = example_and_shapes(calibration)
    # A protobuf file holds 2 GB at most; larger models need a second file for their weights.
    num_bytes = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    try:
        program = torch.onnx.export(
            model,
            kwargs={"inputs": example},  # by name: a positional mapping would be taken for these
            dynamo=True,
            verbose=False,
            input_names=list(calibration.dtype.names or ["inputs"]),
            output_names=["outputs"],
            dynamic_shapes={"inputs": shapes},
        )
    except ImportError as error:
        raise LibraryMissing(
            f"exporting to ONNX: {error.name or error} is not installed; {install_hint('serving')}"
        ) from error
    except OnnxExporterError as error:
        raise CompressionRefused(
            f"this model cannot be exported to ONNX ({kind_and_line(error.__cause__ or error)}); "
            f"{torch_instead}"
        ) from error
    assert program is not None, "with dynamo=True, the exporter returns a program"
    _refuse_fixed_batch(program, torch_instead)
    program.save(path, external_data=num_bytes > _MAX_SINGLE_FILE_BYTES)


def _refuse_fixed_batch(program: Any, torch_instead: str) -> None:
    """Refuse an exported graph whose batch size became a constant.

    Raises:
        CompressionRefused: It takes batches of one size only.
    """
    size = program.model.graph.inputs[0].shape[0]
    if isinstance(size, int):
        raise CompressionRefused(
            f"the model was exported for batches of {size} only: it takes its batch size as a "
            "Python number, as int(x.shape[0]) or a loop over the inputs does; have it use "
            f"x.shape[0] directly, or {torch_instead}"
        )


def _to_float16(exported: Path, path: Path, runtime: str) -> None:
    """Convert weights and arithmetic to float16; inputs and outputs stay float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model: Any = convert_float_to_float16(onnx.load(exported), keep_io_types=True)
    onnx.save(model, path)
    _log.info("%s: %s converted to float16", runtime, path.name)
