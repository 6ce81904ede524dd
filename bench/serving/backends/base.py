"""What runs a model when it is served: the protocol of all runtimes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bench.core.artifact import Artifact
from bench.core.errors import CombinationRefused

Images = NDArray[np.float32]
Logits = NDArray[np.float32]


class BackendUnavailable(ValueError):  # noqa: N818 -- says that something is missing, as meters do
    """A runtime is not installed, or cannot run this model; one line with the reason and remedy."""


class RuntimeRefuses(BackendUnavailable, CombinationRefused):
    """A runtime is there, and does not run this model in this way: its run is refused."""


class Backend(Protocol):
    """A runtime with one model in it; calls come one at a time."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What ran it: runtime and version, device, gpu_uuid on a GPU, precision it computes in."""

    @property
    def compile_s(self) -> float | None:
        """Seconds that compiling took so far.

        None for a runtime that compiles nothing, or does so as a part of open().
        """
        return None

    def open(self, artifact: Artifact) -> None:
        """Load the model, ready for warm-up.

        Raises:
            BackendUnavailable: The runtime is not installed or refuses the model.
            OSError: A file of the model is missing.
        """

    def predict(self, images: Images) -> Logits:
        """Logits of a batch, on the host.

        Args:
            images: float32 of shape (n, c, h, w), n >= 1.

        Returns:
            float32 of shape (n, num_classes), complete: the device has been waited for.
        """

    def close(self) -> None:
        """Release what open() took."""
