"""Which runtime computes in which precision here, and what else there is where one does not.

A way out is named only if it exists on this processor: whoever follows it must not be refused
again for the same reason.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec

import torch

from bench.compression.processor import computes_natively, is_x86
from bench.config.serve import COMPRESSIONS, RUNTIMES
from bench.core.artifact import ArtifactKind
from bench.core.errors import CompressionRefused, LibraryMissing
from bench.core.extras import install_hint

TORCH_RUNTIMES = ("eager", "compile")
_ONNX = ("onnx", "onnxscript")
_LIBRARIES = {"onnxruntime": ("onnxruntime", *_ONNX), "openvino": ("openvino", *_ONNX)}
_INT8 = ("int8_static", "int8_dynamic")
# By device and method. That of fp16 on a CPU is seen in the optimised graph: weights are float32
# again, between casts of the input and the output.
_ONNX_RUNTIME_LACKS = {
    ("cpu", "fp16"): "ONNX Runtime's CPU provider converts float16 models back to float32",
    ("cpu", "bf16"): "ONNX Runtime's CPU provider has no bfloat16 convolutions",
    ("cuda", "bf16"): "ONNX Runtime has no converter to bfloat16",
    **{
        ("cuda", method): "ONNX Runtime's CUDA provider computes quantized models in float32"
        for method in _INT8
    },
}


def artifact_kind(runtime: str) -> ArtifactKind:
    """The form in which a runtime opens a model.

    Raises:
        ValueError: There is no such runtime.
    """
    if runtime not in RUNTIMES:
        raise ValueError(f"backend={runtime}: must be one of {', '.join(RUNTIMES)}")
    return "torch" if runtime in TORCH_RUNTIMES else "onnx"


def refuse_precision(runtime: str, method: str, device: str) -> None:
    """Refuse a precision that the runtime would not really compute in.

    Args:
        runtime: One of bench.config.serve.RUNTIMES.
        method: One of bench.config.serve.COMPRESSIONS.
        device: "cpu" or "cuda".

    Raises:
        CompressionRefused: It would not; the message has the reason and what works instead.
        LibraryMissing: It is not installed, so that this cannot be known.
    """
    if runtime == "openvino" and find_spec("openvino") is None:
        raise LibraryMissing(
            f"backend=openvino: openvino is not installed; {install_hint('openvino')}"
        )
    reason = _lacks(runtime, method, device)
    if reason is not None:
        way = way_out(runtime, method, device)
        raise CompressionRefused(f"compression={method}: {reason}; {way}")


def way_out(runtime: str, method: str, device: str, *, backends: Collection[str] = RUNTIMES) -> str:
    """What to use where a runtime cannot have a model in a precision.

    Args:
        runtime: As of refuse_precision.
        method: As of refuse_precision.
        device: As of refuse_precision.
        backends: Those that might run the model.

    Returns:
        Another backend that computes in this precision here; if there is none, other compressions
        of the same backend, or else of eager.
    """
    others = [one for one in backends if one != runtime and _works(one, method, device)]
    ways = [f"backend={one}" for one in others]
    if device == "cuda" and runtime in backends and _works(runtime, method, "cpu"):
        ways.append("backend.device=cpu")
    if ways:
        return f"use {' or '.join(ways)}"
    stays = runtime in backends and _works(runtime, "none", device)
    kept = runtime if stays else TORCH_RUNTIMES[0]
    beside = "" if kept == runtime else f" with backend={kept}"
    methods = [one for one in COMPRESSIONS if one != method and _works(kept, one, device)]
    return f"no other backend has it here, so use compression={' or '.join(methods)}{beside}"


def _works(runtime: str, method: str, device: str) -> bool:
    """Whether a runtime is installed and computes in a precision here."""
    needed = _LIBRARIES.get(runtime, ("torchao",) if method in _INT8 else ())
    return all(map(find_spec, needed)) and _lacks(runtime, method, device) is None


def _lacks(runtime: str, method: str, device: str) -> str | None:
    """Why a runtime does not compute in a precision here; None where it does."""
    if runtime == "onnxruntime":
        return _ONNX_RUNTIME_LACKS.get((device, method))
    if runtime == "openvino":
        return _openvino_lacks(method, device)
    if method == "int8_static":
        return _torch_lacks_static_int8(runtime, device)
    if method in ("bf16", "fp16"):
        return _torch_lacks_half(method, device)
    return None


def _openvino_lacks(method: str, device: str) -> str | None:
    if device != "cpu":
        return "OpenVINO runs on no such device"
    if method == "int8_dynamic":
        return "OpenVINO computes dynamically quantized models in float32"
    capability = {"bf16": "BF16", "fp16": "FP16"}.get(method)
    if capability is None:
        return None
    import openvino

    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if capability in capabilities:
        return None
    return (
        f"OpenVINO does not compute in {method} on this processor (it has "
        f"{', '.join(capabilities)})"
    )


def _torch_lacks_half(method: str, device: str) -> str | None:
    if device == "cpu" and not computes_natively(method):
        return (
            f"this processor does not compute in {method}, and torch would convert to float32 and "
            "back in each operator"
        )
    if method == "bf16" and device == "cuda" and not torch.cuda.is_bf16_supported(False):
        return "this GPU only emulates bfloat16"
    return None


def _torch_lacks_static_int8(runtime: str, device: str) -> str | None:
    if runtime != "compile":
        return f"backend={runtime} would compute the quantized graph in float32"
    if device != "cpu":
        return "PyTorch's quantized graphs are for x86 processors"
    return None if is_x86() else "torchao quantizes for torch.compile on x86 processors only"
