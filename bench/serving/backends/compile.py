"""torch.compile: turns the model into one graph and its machine code at the first calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from typing_extensions import override

from bench.compression.artifact import Artifact
from bench.core.arrays import Inputs
from bench.serving.backend import Backend, Outputs
from bench.serving.backends.eager import EagerBackend

if TYPE_CHECKING:
    from bench.serving.inductor import CompiledModel


class CompileBackend(Backend):
    """A torch model compiled by Inductor, its weights frozen into the graph."""

    name = "compile"
    kind = "torch"
    devices = ("cpu", "cuda")
    precisions = ("none", "bf16", "fp16", "int8_dynamic", "int8_static")
    compiles = True

    version = EagerBackend.version

    def __init__(
        self,
        *,
        device: str,
        num_threads: int | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Compile nothing before the first predict(); see Backend.

        Args:
            device: As in Backend.
            num_threads: As in Backend.
            clock: Monotonic seconds.
        """
        super().__init__(device=device, num_threads=num_threads)
        self._clock = clock
        self._model: CompiledModel | None = None

    @classmethod
    @override
    def refusal(cls, method: str, device: str) -> str | None:
        """Why it would not compute in a precision here; see Backend."""
        # Here, so that listing the backends does not import torch.
        from bench.compression.processor import half_refusal, is_x86

        if method != "int8_static":
            return half_refusal(method, device)
        if device != "cpu":
            return "PyTorch's quantized graphs are for x86 processors"
        return None if is_x86() else "torchao quantizes for torch.compile on x86 processors only"

    @override
    def settings(self) -> Mapping[str, str]:
        """Threads of one operator, and how the model is compiled."""
        import torch

        return {
            "threads": str(self.num_threads or torch.get_num_threads()),
            "compiler": "inductor, weights frozen, one graph, from an empty cache",
        }

    @property
    @override
    def compile_s(self) -> float:
        """Seconds that the first calls of all batch sizes took so far."""
        return 0.0 if self._model is None else self._model.compile_s

    @override
    def open(self, artifact: Artifact) -> None:
        """Load the model, which is compiled when it is called; see Backend."""
        from bench.serving.inductor import CompiledModel
        from bench.serving.torch_models import open_torch

        self._model = CompiledModel(
            open_torch(self, artifact),
            self.device,
            quantized=artifact.compression == "int8_static",
            clock=self._clock,
        )

    @override
    def predict(self, inputs: Inputs) -> Outputs:
        """Compute the outputs of a batch; compile at the first call of a size; see Backend.

        Raises:
            BackendUnavailable: The model cannot be compiled, or not for so many batch sizes, or
                something has switched the compiler off.
        """
        assert self._model is not None, "predict() before open()"
        return self._model.predict(inputs)

    @override
    def close(self) -> None:
        """Release the model; its compiled code stays with the process."""
        self._model = None
