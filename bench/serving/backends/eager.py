"""PyTorch as it is: every operator is called from Python when its turn comes."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from bench.core.artifact import Artifact
from bench.serving.backends.base import Backend, Images, Logits
from bench.serving.backends.loading import (
    accept_read_only_arrays,
    gpu_facts,
    load_torch,
    torch_precision,
    use_threads,
)
from bench.tasks.inference import InferenceModel

RUNTIME = "eager"


class EagerBackend(Backend):
    """A torch model in inference mode."""

    def __init__(self, *, device: str, num_threads: int | None) -> None:
        """Nothing is loaded before open().

        Args:
            device: "cpu" or "cuda".
            num_threads: Of one operator, set for the whole process by open(); None for torch's
                own choice.
        """
        self._device = torch.device(device)
        self._num_threads = num_threads
        self._model: InferenceModel | None = None
        self._precision: str | None = None

    @property
    def facts(self) -> Mapping[str, str]:
        """Runtime, version, device and threads; once open, the precision as well."""
        facts = {
            "runtime": RUNTIME,
            "version": f"torch {torch.__version__}",
            "device": self._device.type,
            **gpu_facts(self._device.type),
            "threads": str(self._num_threads or torch.get_num_threads()),
        }
        return facts if self._precision is None else {**facts, "precision": self._precision}

    def open(self, artifact: Artifact) -> None:
        """Load the model; see Backend."""
        use_threads(self._num_threads)
        accept_read_only_arrays()
        self._model = load_torch(artifact, RUNTIME, self._device)
        self._precision = torch_precision(self._model, artifact.compression, self._device)

    @torch.inference_mode()
    def predict(self, images: Images) -> Logits:
        """Logits of a batch, on the host; see Backend."""
        assert self._model is not None, "predict() before open()"
        # On a CPU neither way is a copy; from a GPU, the copy waits for it.
        logits: Logits = self._model(torch.from_numpy(images).to(self._device)).cpu().numpy()
        return logits

    def close(self) -> None:
        """Let go of the model."""
        self._model = None
