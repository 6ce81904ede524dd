"""Plain PyTorch: Python calls one operator after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from typing_extensions import override

from bench.compression.artifact import Artifact
from bench.core.arrays import Inputs
from bench.serving.backend import Backend, Outputs

if TYPE_CHECKING:
    from bench.tasks.inference import InferenceModel


class EagerBackend(Backend):
    """A torch model in inference mode."""

    name = "eager"
    kind = "torch"
    devices = ("cpu", "cuda")
    precisions = ("none", "bf16", "fp16", "int8_dynamic")
    generates = True

    _predict: Callable[[Inputs], Outputs] | None = None
    _model: InferenceModel | None = None

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

        self._model = open_torch(self, artifact)
        self._predict = inference(self._model, self.device)

    @override
    def predict(self, inputs: Inputs) -> Outputs:
        """Compute the outputs of a batch; see Backend."""
        assert self._predict is not None, "predict() before open()"
        return self._predict(inputs)

    @override
    def generate(self, prompt: Inputs, num_tokens: int) -> Iterator[int]:
        """Continue a prompt; see Backend."""
        from bench.serving.torch_models import generated_tokens

        assert self._model is not None, "generate() before open()"
        return generated_tokens(self._model, prompt, num_tokens, self.device)

    @override
    def close(self) -> None:
        """Release the model."""
        self._predict = self._model = None
