"""Samples of a stream, and the pools that they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Index = NDArray[np.int64]
# The label of a sample whose label never becomes known.
UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Samples in the order in which they are served.

    Attributes:
        ids: Of the samples in their pool, int64 (n,); no two samples of a pool have the same.
        features: As the world gives them, before any fault and before preprocessing, float32
            (n, ...); NaN where a value is missing.
        labels: Classes, int64 (n,); UNKNOWN where nobody ever learns the class.
        known_after: How many predictions after its own a label becomes known by itself, int64 (n,);
            None if the pool does not say.
    """

    ids: Index
    features: Floats
    labels: Index
    known_after: Index | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, chosen: Index | slice) -> Self:
        """Select samples by their places."""
        return replace(
            self,
            ids=self.ids[chosen],
            features=self.features[chosen],
            labels=self.labels[chosen],
            known_after=None if self.known_after is None else self.known_after[chosen],
        )

    def known(self) -> Self:
        """Leave out samples whose labels nobody ever learns."""
        return self[np.flatnonzero(self.labels != UNKNOWN)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """All samples that a stream can be made of.

    Attributes:
        samples: The samples. Those of an ordered pool are in the order of time.
        num_classes: Number of classes.
        feature_names: Names of the columns of a table; empty for images.
        is_ordered: Whether the order is that of time, so that the pool has drift of its own.
    """

    samples: Samples
    num_classes: int
    feature_names: Sequence[str] = ()
    is_ordered: bool = False

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.samples.features.shape[1:]
