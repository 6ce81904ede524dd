"""OpenVINO on a CPU: the exported graph, compiled for the processor when it is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bench.core.artifact import Artifact
from bench.core.extras import needs_extra
from bench.serving.backends.base import Backend, BackendUnavailable, Images, Logits, RuntimeRefuses
from bench.serving.backends.loading import check_file, unusable

RUNTIME = "openvino"
_DEVICE = "CPU"
# It would take bfloat16 by itself where the processor has it: float32 must be asked for.
_HINTS = {"bf16": "bf16", "fp16": "f16"}
_FLOAT32 = "f32"
_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16", "u8": "int8", "i8": "int8"}
# Kinds of layers, as its plan of execution calls them, that do most of the arithmetic.
_LAYERS = ("Convolution", "FullyConnected", "MatMul", "Deconvolution")


def import_openvino() -> Any:
    """The library, an optional one.

    Raises:
        BackendUnavailable: It is not installed.
    """
    with needs_extra("openvino", "backend=openvino: openvino", BackendUnavailable):
        import openvino
    return openvino


class OpenVinoBackend(Backend):
    """An ONNX model in one inference request of OpenVINO."""

    def __init__(self, *, device: str, num_threads: int | None) -> None:
        """Nothing is loaded before open().

        Args:
            device: "cpu"; OpenVINO has no NVIDIA device.
            num_threads: INFERENCE_NUM_THREADS; None for OpenVINO's own choice.

        Raises:
            BackendUnavailable: The library is not installed, or the device is not its.
        """
        self._library = import_openvino()
        if device != "cpu":
            raise RuntimeRefuses(
                f"backend=openvino device={device}: OpenVINO runs on no such device; use "
                "backend.device=cpu"
            )
        self._num_threads = num_threads
        self._threads = str(num_threads or "its own choice")
        self._request: Any = None
        self._precision: str | None = None

    @property
    def facts(self) -> Mapping[str, str]:
        """Runtime, version, device, threads and hint; once open, the precision of its plan too."""
        facts = {
            "runtime": RUNTIME,
            "version": f"openvino {self._library.__version__}",
            "device": "cpu",
            "threads": self._threads,
            "hint": "latency, one stream",
        }
        return facts if self._precision is None else {**facts, "precision": self._precision}

    def open(self, artifact: Artifact) -> None:
        """Load and compile the model, in the precision that was asked of it; see Backend."""
        check_file(artifact, "onnx", RUNTIME)
        hint = _HINTS.get(artifact.compression, _FLOAT32)
        settings: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": hint,
        }
        if self._num_threads is not None:
            settings["INFERENCE_NUM_THREADS"] = self._num_threads
        core = self._library.Core()
        try:
            compiled = core.compile_model(core.read_model(str(artifact.path)), _DEVICE, settings)
        except RuntimeError as error:
            raise unusable(artifact, RUNTIME, _without_trace(error)) from error
        precisions = _layer_precisions(compiled)
        _refuse_other_precision(artifact, precisions)
        self._threads = str(compiled.get_property("INFERENCE_NUM_THREADS"))
        self._precision = _described(precisions)
        self._request = compiled.create_infer_request()

    def predict(self, images: Images) -> Logits:
        """Logits of a batch, on the host; see Backend."""
        # Images that can be written to are not copied; logits are, out of the request's memory.
        logits: Logits = self._request.infer([images], share_inputs=True)[0]
        return logits

    def close(self) -> None:
        """Let go of the request and the compiled model."""
        self._request = None


def _layer_precisions(compiled: Any) -> Counter[str]:
    """How many of the layers that do the arithmetic compute in each precision, from its plan."""
    infos = [operation.get_rt_info() for operation in compiled.get_runtime_model().get_ops()]
    return Counter(
        _NAMES.get(precision, precision)
        for kind, precision in (
            (info["layerType"].astype(str), info["runtimePrecision"].astype(str)) for info in infos
        )
        if kind in _LAYERS
    )


def _refuse_other_precision(artifact: Artifact, precisions: Counter[str]) -> None:
    wanted = {"none": "float32", "bf16": "bfloat16", "fp16": "float16"}
    name = wanted.get(artifact.compression, "int8")
    if precisions and name not in precisions:
        raise RuntimeRefuses(
            f"backend=openvino compression={artifact.compression}: OpenVINO would compute this "
            f"model in {_described(precisions)}, not in {name}; use "
            "compression=none"
        )


def _described(precisions: Counter[str]) -> str:
    """Such as `int8 in 53 of 54 layers, float32 in 1 of 54 layers`."""
    if len(precisions) == 1:
        return next(iter(precisions))
    total = sum(precisions.values())
    return ", ".join(f"{name} in {n} of {total} layers" for name, n in precisions.most_common())


def _without_trace(error: RuntimeError) -> RuntimeError:
    """The last line of its message: those before it are places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return RuntimeError(lines[-1] if lines else type(error).__name__)
