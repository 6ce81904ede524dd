"""A backend for the server's own process; the name of the runtime selects its behaviour."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bench.core.artifact import Artifact
from bench.serving.backends.base import BackendUnavailable, RuntimeRefuses

NUM_CLASSES = 3


def make_backend(runtime: str, *, device: str, num_threads: int | None) -> FakeBackend:
    if runtime == "missing":
        raise BackendUnavailable("backend=missing: not installed; pip install it")
    if runtime == "refused":
        raise RuntimeRefuses("backend=refused: no int8 here")
    return FakeBackend(runtime, device, num_threads)


class FakeBackend:
    """Logits of an image: its sum, minus its sum, and the size of the batch it was in."""

    def __init__(self, runtime: str, device: str, num_threads: int | None) -> None:
        self._runtime = runtime
        self._warm = False
        self._kept: list[bytearray] = []
        threads = os.environ.get("OMP_NUM_THREADS", "none")
        self.facts: Mapping[str, str] = {
            "runtime": runtime,
            "device": device,
            "threads": f"{num_threads} {threads}",
        }
        self.compile_s: float | None = None

    def open(self, artifact: Artifact) -> None:
        if self._runtime == "crashes_at_once":
            raise RuntimeError(f"cannot load {artifact.path.name}")
        if self._runtime == "never_ready":
            time.sleep(3600)
        while self._runtime == "eats_memory":
            self._kept.append(bytearray(b"x" * 2**20))

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        if images.any():
            # Not the zeros of the warm-up: a request.
            if self._runtime == "dies":
                print("out of luck", file=sys.stderr, flush=True)
                os._exit(9)
            if self._runtime == "raises":
                raise RuntimeError("no logits today")
            if self._runtime == "not_finite":
                return np.array([[np.nan, np.inf, -np.inf]], dtype=np.float32).repeat(
                    len(images), 0
                )
        sums = images.sum(axis=(1, 2, 3))
        return np.stack([sums, -sums, np.full_like(sums, len(images))], axis=1)

    def close(self) -> None:
        pass
