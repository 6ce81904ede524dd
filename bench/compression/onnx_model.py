"""A network as a model.onnx, for ONNX Runtime and OpenVINO: exported, and made smaller."""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.onnx import OnnxExporterError

from bench.compression.onnx_int8 import quantize_dynamically, quantize_statically
from bench.compression.refused import CompressionRefused, first_line
from bench.tasks.inference import InferenceModel

_log = logging.getLogger(__name__)

Calibration = NDArray[np.float32]
# A file of protocol buffers holds less than 2 GB: beyond this, weights lie in a second file.
_MAX_SINGLE_FILE_BYTES = 1_000_000_000


def write_onnx(
    network: nn.Module,
    folder: Path,
    *,
    runtime: str,
    method: str,
    calibration: Calibration,
    device: str,
) -> None:
    """Write model.onnx into a folder, and beside it its weights if they are large; see prepare.

    Images and logits are called `images` and `logits`; any batch size from 1 on.

    Raises:
        CompressionRefused: The model cannot be exported, or the runtime would not compute in the
            asked precision.
    """
    refuse_precision(runtime, method, device)
    writers: dict[str, Callable[[Path, Path], None]] = {
        "fp16": lambda exported, path: _to_float16(exported, path, runtime),
        "int8_dynamic": quantize_dynamically,
        "int8_static": lambda exported, path: quantize_statically(
            exported, path, calibration, runtime=runtime
        ),
    }
    if method not in writers or (method == "fp16" and runtime == "openvino"):
        # In OpenVINO half precision is a matter of how the same file is compiled.
        _export(network, folder / "model.onnx", calibration.shape[1:])
        return
    with tempfile.TemporaryDirectory() as temporary:
        exported = Path(temporary) / "exported.onnx"
        _export(network, exported, calibration.shape[1:])
        writers[method](exported, folder / "model.onnx")


def _export(network: nn.Module, path: Path, shape: tuple[int, ...]) -> None:
    # In ONNX channels come first; weights that lie in another order would only be transposed.
    model = InferenceModel(copy.deepcopy(network))
    num_bytes = sum(one.nbytes for one in (*model.parameters(), *model.buffers()))
    try:
        program = torch.onnx.export(
            model,
            # Two: of a size of one, an export would take it that there is never another.
            (torch.zeros(2, *shape),),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )
    except ImportError as error:
        raise CompressionRefused(
            f"exporting to ONNX: {error.name or error} is not installed; "
            "pip install 'operational-metrics-bench[serving]'"
        ) from error
    except OnnxExporterError as error:
        raise CompressionRefused(
            f"this model cannot be exported to ONNX ({first_line(error.__cause__ or error)}); use "
            "backend=eager or backend=compile"
        ) from error
    assert program is not None, "the exporter that goes by torch.export returns what it made"
    _refuse_fixed_batch(program)
    program.save(path, external_data=num_bytes > _MAX_SINGLE_FILE_BYTES)


def _refuse_fixed_batch(program: Any) -> None:
    """Refuse an exported graph whose batch size became a constant.

    Raises:
        CompressionRefused: It takes batches of one size only.
    """
    size = program.model.graph.inputs[0].shape[0]
    if isinstance(size, int):
        raise CompressionRefused(
            f"the model was exported for batches of {size} only: it takes its batch size as a "
            "Python number, as int(x.shape[0]) or a loop over the images does; have it use "
            "x.shape[0] as it comes, or use backend=eager or backend=compile"
        )


def refuse_precision(runtime: str, method: str, device: str) -> None:
    """Refuse what a runtime would compute in float32 whatever the file says.

    Args:
        runtime: "onnxruntime" or "openvino".
        method: One of bench.core.serve_config.COMPRESSIONS.
        device: "cpu" or "cuda".

    Raises:
        CompressionRefused: It would.
    """
    reason = (
        _openvino_refuses(method)
        if runtime == "openvino"
        else _ONNX_RUNTIME_REFUSES.get((device, method))
    )
    if reason is not None:
        raise CompressionRefused(f"compression={method}: {reason}")


# By device and method. That of fp16 on a CPU is seen in the optimised graph: weights are float32
# again, between casts of the input and the output.
_ONNX_RUNTIME_REFUSES = {
    ("cpu", "fp16"): "ONNX Runtime's CPU provider converts float16 models back to float32; use "
    "backend=compile or backend=openvino",
    ("cpu", "bf16"): "ONNX Runtime's CPU provider has no bfloat16 convolutions; use "
    "backend=compile or backend=openvino",
    ("cuda", "bf16"): "ONNX Runtime has no converter to bfloat16; use compression=fp16, or "
    "backend=compile",
    ("cuda", "int8_static"): "ONNX Runtime's CUDA provider computes quantized models in float32; "
    "use compression=fp16, or device=cpu",
    ("cuda", "int8_dynamic"): "ONNX Runtime's CUDA provider computes quantized models in float32; "
    "use compression=fp16, or device=cpu",
}


def _openvino_refuses(method: str) -> str | None:
    if method == "int8_dynamic":
        return (
            "OpenVINO computes dynamically quantized models in float32; use "
            "compression=int8_static, or backend=onnxruntime"
        )
    capability = {"bf16": "BF16", "fp16": "FP16"}.get(method)
    if capability is None:
        return None
    try:
        import openvino
    except ImportError:
        return "openvino is not installed; pip install 'operational-metrics-bench[openvino]'"
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if capability in capabilities:
        return None
    return (
        f"OpenVINO does not compute in {method} on this processor (it has "
        f"{', '.join(capabilities)}); use compression=none, or int8_static"
    )


def _to_float16(exported: Path, path: Path, runtime: str) -> None:
    """Weights and arithmetic in float16, images and logits in float32."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model: Any = convert_float_to_float16(onnx.load(exported), keep_io_types=True)
    onnx.save(model, path)
    _log.info("%s: %s converted to float16", runtime, path.name)
