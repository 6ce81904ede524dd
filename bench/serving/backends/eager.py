"""Plain PyTorch: Python calls one operator after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from typing_extensions import override

from bench.compression.artifact import Artifact
from bench.core.arrays import Inputs
from bench.serving.backend import Backend, Outputs


class EagerBackend(Backend):
    """A torch model in inference mode."""

    name = "eager"
    kind = "torch"
    devices = ("cpu", "cuda")
    precisions = ("none", "bf16", "fp16", "int8_dynamic")

    _predict: Callable[[Inputs], Outputs] | None = None

    @classmethod
    @override
    def refusal(cls, method: str, device: str) -> str | None:
        """Why it would not compute in a precision here; see Backend."""
        from bench.compression.processor import half_refusal

        if method == "int8_static":
            return "backend=eager would compute the quantized graph in float32"
        return half_refusal(method, device)

    @override
    def version(self) -> str:
        """Library and version."""
        import torch

        return f"torch {torch.__version__}"

    @override
    def settings(self) -> Mapping[str, str]:
        """Threads of one operator."""
        import torch

        return {"threads": str(self.num_threads or torch.get_num_threads())}

    @override
    def open(self, artifact: Artifact) -> None:
        """Load the model; see Backend."""
        from bench.serving.torch_models import inference, open_torch

        self._predict = inference(open_torch(self, artifact), self.device)

    @override
    def predict(self, inputs: Inputs) -> Outputs:
        """Compute the outputs of a batch; see Backend."""
        assert self._predict is not None, "predict() before open()"
        return self._predict(inputs)

    @override
    def close(self) -> None:
        """Release the model."""
        self._predict = None
