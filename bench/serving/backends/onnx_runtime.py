"""ONNX Runtime: the exported graph, optimised when it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.core.artifact import Artifact
from bench.core.extras import needs_extra
from bench.serving.backends.base import Backend, BackendUnavailable, Images, Logits
from bench.serving.backends.loading import check_file, gpu_facts, unusable

RUNTIME = "onnxruntime"
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# By what was asked of the model; preparing refuses what the provider would not compute in.
_PRECISIONS = {
    "none": "float32",
    "fp16": "float16",
    "int8_dynamic": "int8 in matrix products that it fuses, float32 elsewhere",
    "int8_static": "int8 in convolutions and matrix products that it fuses, float32 elsewhere",
}
_ERRORS_ONLY = 3


def import_onnxruntime() -> Any:
    """The library, an optional one.

    Raises:
        BackendUnavailable: It is not installed.
    """
    with needs_extra("serving", "backend=onnxruntime: onnxruntime", BackendUnavailable):
        import onnxruntime
    return onnxruntime


class OnnxRuntimeBackend(Backend):
    """An ONNX model in one session of ONNX Runtime."""

    def __init__(self, *, device: str, num_threads: int | None) -> None:
        """Nothing is loaded before open().

        Args:
            device: "cpu" or "cuda".
            num_threads: Of one operator; None for ONNX Runtime's own choice, one for each
                physical core. Operators run one after another.

        Raises:
            BackendUnavailable: The library is not installed, or not with this device.
        """
        self._library = import_onnxruntime()
        self._device = device
        self._provider = _PROVIDERS[device]
        if self._provider not in self._library.get_available_providers():
            raise BackendUnavailable(
                f"backend=onnxruntime device={device}: this onnxruntime has no {self._provider}; "
                "install onnxruntime-gpu in its place, or use device=cpu"
            )
        self._num_threads = num_threads
        self._session: Any = None
        self._input = ""
        self._precision: str | None = None

    @property
    def facts(self) -> Mapping[str, str]:
        """Runtime, version, device, threads, whether they spin; once open, the precision too."""
        facts = {
            "runtime": RUNTIME,
            "version": f"onnxruntime {self._library.__version__}",
            "device": self._device,
            **gpu_facts(self._device),
            "provider": self._provider,
            "threads": str(self._num_threads or "one for each physical core"),
            "spinning": "threads spin between operators and requests, as by default",
        }
        return facts if self._precision is None else {**facts, "precision": self._precision}

    def open(self, artifact: Artifact) -> None:
        """Load and optimise the model; see Backend."""
        check_file(artifact, "onnx", RUNTIME)
        options = self._library.SessionOptions()
        options.intra_op_num_threads = self._num_threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        try:
            session = self._library.InferenceSession(
                str(artifact.path), options, providers=[self._provider]
            )
        except _exceptions() as error:
            raise unusable(artifact, RUNTIME, error) from error
        # A provider that fails to start is dropped without an error.
        if session.get_providers()[0] != self._provider:
            raise BackendUnavailable(
                f"backend=onnxruntime device={self._device}: {self._provider} did not start and "
                f"{session.get_providers()[0]} would have run in its place; use device=cpu"
            )
        self._session = session
        self._input = session.get_inputs()[0].name
        self._precision = _PRECISIONS.get(artifact.compression, artifact.compression)

    def predict(self, images: Images) -> Logits:
        """Logits of a batch, on the host; see Backend."""
        logits: Logits = self._session.run(None, {self._input: images})[0]
        return logits

    def close(self) -> None:
        """Let go of the session and its threads."""
        self._session = None


def _exceptions() -> tuple[type[Exception], ...]:
    """What a session raises: these have no class of their own in common."""
    from onnxruntime.capi import onnxruntime_pybind11_state

    return tuple(
        one
        for one in vars(onnxruntime_pybind11_state).values()
        if isinstance(one, type) and issubclass(one, Exception)
    )
