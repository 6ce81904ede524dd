"""Runtimes by name."""

from __future__ import annotations

import torch

from bench.compression.precisions import artifact_kind
from bench.serving.backends.base import Backend, BackendUnavailable
from bench.serving.backends.compiled import CompiledBackend
from bench.serving.backends.eager import EagerBackend
from bench.serving.backends.onnx_runtime import OnnxRuntimeBackend, import_onnxruntime
from bench.serving.backends.open_vino import OpenVinoBackend

_DEVICES = ("auto", "cpu", "cuda")


def resolve_device(runtime: str, device: str) -> str:
    """The device that a runtime would run on: "cpu" or "cuda".

    Args:
        runtime: One of eager, compile, onnxruntime, openvino.
        device: "cpu", "cuda", or "auto": CUDA where there is one that the runtime can use.

    Raises:
        BackendUnavailable: There is no CUDA device but it was asked for, or the runtime is not
            installed.
        ValueError: There is no such runtime or device.
    """
    artifact_kind(runtime)
    if device not in _DEVICES:
        raise ValueError(f"backend.device={device}: must be one of {', '.join(_DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise BackendUnavailable(
            f"backend={runtime} device=cuda: there is no CUDA device; use device=cpu"
        )
    if device != "auto":
        return device
    return "cuda" if _has_cuda(runtime) else "cpu"


def _has_cuda(runtime: str) -> bool:
    if runtime == "openvino" or not torch.cuda.is_available():
        return False
    if runtime == "onnxruntime":
        return "CUDAExecutionProvider" in import_onnxruntime().get_available_providers()
    return True


def make_backend(runtime: str, *, device: str, num_threads: int | None) -> Backend:
    """A runtime without a model yet; its facts have the device already.

    Args:
        runtime: One of eager, compile, onnxruntime, openvino.
        device: As of resolve_device.
        num_threads: Of one operator; None for the runtime's own choice. For eager and compile it
            is set for the whole process.

    Raises:
        BackendUnavailable: The runtime is not installed, or not with this device.
        ValueError: There is no such runtime or device.
    """
    device = resolve_device(runtime, device)
    if runtime == "eager":
        return EagerBackend(device=device, num_threads=num_threads)
    if runtime == "compile":
        return CompiledBackend(device=device, num_threads=num_threads)
    if runtime == "onnxruntime":
        return OnnxRuntimeBackend(device=device, num_threads=num_threads)
    return OpenVinoBackend(device=device, num_threads=num_threads)


def require_runtime(runtime: str, device: str) -> None:
    """Refuse a runtime that is not installed, or a device that it does not have here.

    Raises:
        BackendUnavailable: It is not there.
    """
    make_backend(runtime, device=device, num_threads=None).close()
