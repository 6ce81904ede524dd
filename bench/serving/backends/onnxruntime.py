"""ONNX Runtime: optimises the exported graph when it loads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from bench.compression.artifact import Artifact
from bench.core.arrays import Inputs, named_arrays
from bench.serving.backend import Backend, BackendUnavailable, Outputs, unusable

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# By compression method; the preparation has refused those in which the provider does not compute.
_PRECISIONS = {
    "none": "float32",
    "fp16": "float16",
    "int8_dynamic": "int8 in matrix products that it fuses, float32 elsewhere",
    "int8_static": "int8 in convolutions and matrix products that it fuses, float32 elsewhere",
}
# By device and method. That float16 is not computed on a CPU shows in the optimised graph: its
# weights are float32 again, between casts of the input and the output.
_REFUSALS = {
    ("cpu", "fp16"): "ONNX Runtime's CPU provider converts float16 models back to float32",
    ("cpu", "bf16"): "ONNX Runtime's CPU provider has no bfloat16 convolutions",
    ("cuda", "bf16"): "ONNX Runtime has no converter to bfloat16",
    **{
        ("cuda", method): "ONNX Runtime's CUDA provider computes quantized models in float32"
        for method in ("int8_static", "int8_dynamic")
    },
}
_ERRORS_ONLY = 3  # log level; its warnings are about its own optimisations


class OnnxRuntimeBackend(Backend):
    """An ONNX model in one session of ONNX Runtime."""

    name = "onnxruntime"
    kind = "onnx"
    devices = ("cpu", "cuda")
    precisions = ("none", "fp16", "int8_dynamic", "int8_static")
    libraries: ClassVar[Mapping[str, str]] = {
        "onnxruntime": "serving",
        "onnx": "serving",
        "onnxscript": "serving",
    }

    def __init__(self, *, device: str, num_threads: int | None) -> None:
        """Load nothing before open(); see Backend."""
        super().__init__(device=device, num_threads=num_threads)
        self._library = self.import_library("onnxruntime")
        self._provider = _PROVIDERS[device]
        if self._provider not in self._library.get_available_providers():
            raise BackendUnavailable(
                f"backend=onnxruntime device={device}: this onnxruntime has no {self._provider}; "
                "install onnxruntime-gpu in its place, or use device=cpu"
            )
        self._threads = str(num_threads or "its own choice")
        self._session: Any = None
        self._input = ""

    @classmethod
    @override
    def refusal(cls, method: str, device: str) -> str | None:
        """Why it would not compute in a precision here; see Backend."""
        return _REFUSALS.get((device, method))

    @classmethod
    @override
    def takes_cuda(cls) -> bool:
        """Whether the onnxruntime that is installed was built for CUDA."""
        return _PROVIDERS["cuda"] in cls.import_library("onnxruntime").get_available_providers()

    @override
    def version(self) -> str:
        """Library and version."""
        return f"onnxruntime {self._library.__version__}"

    @override
    def settings(self) -> Mapping[str, str]:
        """Provider, threads, and what the threads do while they wait."""
        return {
            "provider": self._provider,
            "threads": self._threads,
            "spinning": "threads spin between operators and requests, as by default",
        }

    @override
    def open(self, artifact: Artifact) -> None:
        """Load and optimise the model; see Backend."""
        self.require_file(artifact)
        options = self._library.SessionOptions()
        options.intra_op_num_threads = self.num_threads or 0
        options.inter_op_num_threads = 1  # operators run one after another
        options.log_severity_level = _ERRORS_ONLY
        others = _threads()
        try:
            session = self._library.InferenceSession(
                str(artifact.path), options, providers=[self._provider]
            )
        except _exceptions() as error:
            raise unusable(artifact, self.name, error) from error
        # ONNX Runtime drops a provider that fails to start, without an error.
        if session.get_providers()[0] != self._provider:
            raise BackendUnavailable(
                f"backend=onnxruntime device={self.device}: {self._provider} did not start and "
                f"{session.get_providers()[0]} would have run in its place; use device=cpu"
            )
        if others and self.device == "cpu":
            # No call of the library tells their number. By default it takes a thread for each core
            # of the machine, also where this process may use fewer. The calling thread is one.
            self._threads = str(1 + len(_threads() - others))
        self._session = session
        self._input = session.get_inputs()[0].name
        self.precision = _PRECISIONS.get(artifact.compression, artifact.compression)

    @override
    def predict(self, inputs: Inputs) -> Outputs:
        """Compute the outputs of a batch; see Backend."""
        feeds = named_arrays(inputs) or {self._input: inputs}
        outputs: Outputs = self._session.run(None, feeds)[0]
        return outputs

    @override
    def close(self) -> None:
        """Release the session and its threads."""
        self._session = None


def _threads() -> set[str]:
    """The threads of this process; empty where the system does not list them."""
    try:
        return set(os.listdir("/proc/self/task"))
    except OSError:
        return set()


def _exceptions() -> tuple[type[Exception], ...]:
    """All exceptions of a session, which have no base class of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state

    return tuple(
        value
        for value in vars(onnxruntime_pybind11_state).values()
        if isinstance(value, type) and issubclass(value, Exception)
    )
