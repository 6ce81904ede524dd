"""A backend for the server's own process: what it does is asked for by the name of its class."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.compression.artifact import Artifact
from bench.serving.backend import Backend, BackendRefuses, BackendUnavailable

NUM_CLASSES = 3


class Fake(Backend):
    """Outputs of an image: its sum, minus its sum, and the size of the batch it was in."""

    name = "fake"
    kind = "onnx"

    def __init__(self, *, device: str, num_threads: int | None) -> None:
        if self.name == "missing":
            raise BackendUnavailable("backend=missing: not installed; pip install it")
        if self.name == "refused":
            raise BackendRefuses("backend=refused: no int8 here")
        super().__init__(device=device, num_threads=num_threads)
        self._kept: list[bytearray] = []

    def settings(self) -> Mapping[str, str]:
        threads = os.environ.get("OMP_NUM_THREADS", "none")
        return {"threads": f"{self.num_threads} {threads}"}

    def open(self, artifact: Artifact) -> None:
        if self.name == "crashes_at_once":
            raise RuntimeError(f"cannot load {artifact.path.name}")
        if self.name == "never_ready":
            time.sleep(3600)
        while self.name == "eats_memory":
            self._kept.append(bytearray(b"x" * 2**20))

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        if images.any():
            # Not the zeros of the warm-up: a request.
            if self.name == "dies":
                print("out of luck", file=sys.stderr, flush=True)
                os._exit(9)
            if self.name == "raises":
                raise RuntimeError("no logits today")
            if self.name == "not_finite":
                return np.array([[np.nan, np.inf, -np.inf]], dtype=np.float32).repeat(
                    len(images), 0
                )
        sums = images.sum(axis=(1, 2, 3))
        return np.stack([sums, -sums, np.full_like(sums, len(images))], axis=1)

    def close(self) -> None:
        pass


class Missing(Fake):
    name = "missing"


class Refused(Fake):
    name = "refused"


class CrashesAtOnce(Fake):
    name = "crashes_at_once"


class NeverReady(Fake):
    name = "never_ready"


class EatsMemory(Fake):
    name = "eats_memory"


class Dies(Fake):
    name = "dies"


class Raises(Fake):
    name = "raises"


class NotFinite(Fake):
    name = "not_finite"
