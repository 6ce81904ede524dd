"""Quantizes to int8 with ONNX Runtime, and checks that the graph is really computed in int8.

Weights are int8, with one scale for each output channel. Inputs of layers are uint8 on x86, because
there ONNX Runtime fuses only these with every convolution, and int8 on other processors.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.compression.processor import is_x86, needs_smaller_int8
from bench.core.arrays import Inputs, named_arrays
from bench.core.errors import CompressionRefused, LibraryMissing, needs_extra

_log = logging.getLogger(__name__)

# Of the calibration; it decides memory and not the scales.
_BATCH_SIZE = 32
_ERRORS_ONLY = 3
_LINEAR = ("MatMul", "Gemm")
# The operators of an optimised graph that do most of the arithmetic.
_FLOAT_LAYERS = {
    *("Conv", "FusedConv", "ConvTranspose", "MatMul", "FusedMatMul", "Gemm", "FusedGemm")
}
_INT8_LAYERS = {
    *("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger"),
    *("MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
}


class _Batches:
    """Calibration inputs in batches, with the method that ONNX Runtime's calibrator calls."""

    def __init__(self, inputs: Inputs) -> None:
        self._batches: Iterator[Inputs] = (
            inputs[start : start + _BATCH_SIZE] for start in range(0, len(inputs), _BATCH_SIZE)
        )

    def get_next(self) -> dict[str, Inputs] | None:
        """The next batch; None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else named_arrays(batch) or {"inputs": batch}


def quantize_statically(
    exported: Path,
    path: Path,
    calibration: Inputs,
    *,
    operators: Sequence[str] | None,
) -> None:
    """Quantize convolutions and matrix products, between pairs that quantize and dequantize.

    Args:
        exported: The model in float32.
        path: Where to write.
        calibration: Training inputs, shape (n, ...), n >= 1; scales span their activations.
        operators: Operators that get scales; None for ONNX Runtime's choice, whose optimised graph
            is then checked.

    Raises:
        CompressionRefused: ONNX Runtime would compute none of it in int8.
    """
    quantization = _library()
    # The optimiser would fuse operators into ones that another backend does not know.
    processed = _preprocess(exported, skip_optimization=operators is not None)
    quantization.quantize_static(
        processed,
        str(path),
        _Batches(calibration),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=None if operators is None else list(operators),
        activation_type=getattr(quantization.QuantType, "QUInt8" if is_x86() else "QInt8"),
        **_weight_options(),
    )
    if operators is None:
        _refuse_float(path, "int8_static", expected=_FLOAT_LAYERS)


def quantize_dynamically(exported: Path, path: Path) -> None:
    """Quantize matrix products, with inputs scaled at each call; convolutions stay in float32.

    ONNX Runtime could also quantize convolutions, but its kernel for them is several times slower
    than the one in float32.

    Args:
        exported: The model in float32.
        path: Where to write.

    Raises:
        CompressionRefused: The model has no matrix product, or none that is computed in int8.
    """
    _library().quantize_dynamic(
        _preprocess(exported, skip_optimization=False),
        str(path),
        op_types_to_quantize=list(_LINEAR),
        **_weight_options(),
    )
    _refuse_float(path, "int8_dynamic", expected={"MatMul", "Gemm", "FusedGemm", "FusedMatMul"})


def _preprocess(exported: Path, *, skip_optimization: bool) -> str:
    """Prepare a model for quantization; returns the path of the new file."""
    processed = str(exported.with_name("processed.onnx"))
    # Skip the inference of symbolic shapes: the exporter has already written them.
    _library().quant_pre_process(
        str(exported), processed, skip_optimization=skip_optimization, skip_symbolic_shape=True
    )
    return processed


def _weight_options() -> dict[str, Any]:
    return {
        "per_channel": True,
        "reduce_range": needs_smaller_int8(),
        "weight_type": _library().QuantType.QInt8,
    }


def _library() -> Any:
    with needs_extra("serving", "quantizing for ONNX: onnxruntime", LibraryMissing):
        from onnxruntime import quantization
    return quantization


def _refuse_float(path: Path, method: str, *, expected: set[str]) -> None:
    """Refuse a model without any layer that is computed in int8; log how many there are."""
    operators = optimised_operators(path)
    num_int8 = sum(operators[name] for name in _INT8_LAYERS)
    num_float = sum(operators[name] for name in expected)
    if num_int8 == 0:
        raise CompressionRefused(
            f"compression={method}: ONNX Runtime would compute no layer of this model in int8; "
            "use compression=none"
        )
    level = logging.WARNING if num_float else logging.INFO
    _log.log(
        level, "compression=%s: %d of %d layers in int8", method, num_int8, num_int8 + num_float
    )


def optimised_operators(path: Path) -> Counter[str]:
    """How often each operator occurs in the graph that ONNX Runtime runs on a CPU."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        # Only the optimised graph shows which layers really run in int8.
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        graph = onnx.load(options.optimized_model_filepath, load_external_data=False).graph
    return Counter(node.op_type for node in graph.node)
