"""A model with known answers, and the samples that a load generator would send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from bench.compression.artifact import Artifact
from bench.core.arrays import Inputs
from bench.serving.backend import Backend, Outputs
from bench.serving.system import Done, Sample, System


@dataclass(frozen=True)
class FakeSample:
    id: int
    index: int


def numbered_inputs(num_inputs: int) -> Inputs:
    """Image i is full of i, so that a backend can tell which it was given."""
    images = np.zeros((num_inputs, 1, 2, 2), dtype=np.float32)
    images += np.arange(num_inputs, dtype=np.float32)[:, None, None, None]
    return images


def logits_of(indices: NDArray[np.int64]) -> Outputs:
    """What FakeBackend answers for images of these numbers: shape (n, 3)."""
    return np.stack([indices, -indices, indices % 3], axis=1).astype(np.float32)


class FakeBackend(Backend):
    """Answers logits_of the numbers in the images; raises at one call if told to."""

    name = "fake"
    kind = "torch"

    def __init__(self, *, fail_at: int | None = None, error: BaseException | None = None) -> None:
        super().__init__(device="cpu", num_threads=None)
        self.batch_sizes: list[int] = []
        self.last_images: Inputs | None = None
        self.closed = False
        self._fail_at = fail_at
        self._error = error or RuntimeError("the model broke")

    def open(self, artifact: Artifact) -> None:
        """Nothing to open."""

    def predict(self, images: Inputs) -> Outputs:
        self.batch_sizes.append(len(images))
        self.last_images = images
        if len(self.batch_sizes) - 1 == self._fail_at:
            raise self._error
        return logits_of(images[:, 0, 0, 0].astype(np.int64))

    def close(self) -> None:
        self.closed = True


class InstantSystem(System):
    """Answers at once, without a model; keeps the indices in the order of issue."""

    def __init__(self) -> None:
        self.issued: list[int] = []
        self.ended = False

    @override
    def begin(self, done: Done, *, collect: bool) -> None:
        self.failure = None
        self.issued = []
        self.ended = False
        self._done = done

    @override
    def issue(self, samples: Sequence[Sample]) -> None:
        self.issued += [sample.index for sample in samples]
        self._done([sample.id for sample in samples])

    @override
    def end(self) -> None:
        self.ended = True

    @override
    def answers(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        indices = np.array(self.issued, dtype=np.int64)
        return indices, logits_of(indices)
