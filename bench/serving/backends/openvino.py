"""OpenVINO on a CPU: compiles the exported graph for the processor when it loads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from bench.compression.artifact import Artifact
from bench.core.arrays import Inputs, named_arrays
from bench.serving.backend import (
    Backend,
    BackendRefuses,
    Outputs,
    unusable,
)

_DEVICE = "CPU"
# By default OpenVINO uses bfloat16 if the processor has it, so float32 must be requested.
_HINTS = {"bf16": "bf16", "fp16": "f16"}
_FLOAT32 = "f32"
_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "u8": "int8", "i8": "int8"}
# OpenVINO fuses hard swish into the convolution before it, but only in one piece and in float32. So
# only layers, and operators that join or move their outputs, get scales.
_INT8_OPERATORS = (
    *("Conv", "ConvTranspose", "MatMul", "Gemm", "Add", "Concat"),
    *("MaxPool", "AveragePool", "GlobalAveragePool", "Relu", "Clip", "Pad", "Resize"),
    *("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Split"),
)
# Layers that do most of the arithmetic, by their names in OpenVINO's execution plan.
_LAYERS = ("Convolution", "FullyConnected", "MatMul", "Deconvolution")


class OpenVinoBackend(Backend):
    """An ONNX model in one inference request of OpenVINO, which does not run on NVIDIA GPUs."""

    name = "openvino"
    kind = "onnx"
    precisions = ("none", "bf16", "fp16", "int8_static")
    half_at_open = True
    int8_operators = _INT8_OPERATORS
    libraries: ClassVar[Mapping[str, str]] = {
        "openvino": "openvino",
        "onnx": "serving",
        "onnxscript": "serving",
    }

    def __init__(self, *, device: str, num_threads: int | None) -> None:
        """Load nothing before open(); see Backend."""
        super().__init__(device=device, num_threads=num_threads)
        self._library = self.import_library("openvino")
        self._threads = str(num_threads or "its own choice")
        self._request: Any = None

    @classmethod
    @override
    def refusal(cls, method: str, device: str) -> str | None:
        """Why it would not compute in a precision here; see Backend."""
        if method == "int8_dynamic":
            return "OpenVINO computes dynamically quantized models in float32"
        if method not in _HINTS:
            return None
        core = cls.import_library("openvino").Core()
        capabilities = core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
        if method.upper() in capabilities:
            return None
        return (
            f"OpenVINO does not compute in {method} on this processor (it has "
            f"{', '.join(capabilities)})"
        )

    @override
    def version(self) -> str:
        """Library and version."""
        return f"openvino {self._library.__version__}"

    @override
    def settings(self) -> Mapping[str, str]:
        """Threads and hint."""
        return {"threads": self._threads, "hint": "latency, one stream"}

    @override
    def open(self, artifact: Artifact) -> None:
        """Load and compile the model in the precision for which it was prepared; see Backend."""
        self.require_file(artifact)
        hint = _HINTS.get(artifact.compression, _FLOAT32)
        # One stream, because calls come one at a time.
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": hint,
        }
        if self.num_threads is not None:
            settings["INFERENCE_NUM_THREADS"] = self.num_threads
        core = self._library.Core()
        try:
            compiled = core.compile_model(core.read_model(str(artifact.path)), _DEVICE, settings)
        except RuntimeError as error:
            raise unusable(artifact, self.name, _last_line(error)) from error
        precisions = _layer_precisions(compiled)
        _refuse_other_precision(artifact, precisions)
        self._threads = str(compiled.get_property("INFERENCE_NUM_THREADS"))
        self.precision = _describe(precisions)
        self._request = compiled.create_infer_request()

    @override
    def predict(self, inputs: Inputs) -> Outputs:
        """Compute the outputs of a batch; see Backend."""
        # The request reads writable inputs in place. The outputs are copies, because the request
        # reuses its memory.
        feeds = named_arrays(inputs) or [inputs]
        outputs: Outputs = self._request.infer(feeds, share_inputs=True)[0]
        return outputs

    @override
    def close(self) -> None:
        """Release the request and the compiled model."""
        self._request = None


def _layer_precisions(compiled: Any) -> Counter[str]:
    """How many of the arithmetic layers compute in each precision, from the execution plan."""
    infos = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops()]
    return Counter(
        _NAMES.get(precision, precision)
        for kind, precision in (
            (info["layerType"].astype(str), info["runtimePrecision"].astype(str)) for info in infos
        )
        if kind in _LAYERS
    )


def _refuse_other_precision(artifact: Artifact, precisions: Counter[str]) -> None:
    names = {"none": "float32", "bf16": "bfloat16", "fp16": "float16"}
    name = names.get(artifact.compression, "int8")
    if precisions and name not in precisions:
        raise BackendRefuses(
            f"backend=openvino compression={artifact.compression}: OpenVINO would compute this "
            f"model in {_describe(precisions)}, not in {name}; use compression=none"
        )


def _describe(precisions: Counter[str]) -> str:
    """Such as `int8 in 53 of 54 layers, float32 in 1 of 54 layers`."""
    if len(precisions) == 1:
        return next(iter(precisions))
    total = sum(precisions.values())
    return ", ".join(f"{name} in {n} of {total} layers" for name, n in precisions.most_common())


def _last_line(error: RuntimeError) -> RuntimeError:
    """The error with only the last line of its message; the others name OpenVINO's own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return RuntimeError(lines[-1] if lines else type(error).__name__)
