"""What stands between raw features and the network: standardisation, and filling in of gaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from bench.drift.samples import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preprocessing:
    """Standardises features with the statistics of the samples that it was fitted to.

    A table has one statistic for each column; images have one for each channel.

    Attributes:
        mean: Of the values that are there, float64 (num_columns,) or (channels,).
        scale: Their standard deviation, likewise; infinite for a constant and for a column without
            any value, so that it becomes 0 whatever is served later.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(cls, features: Floats) -> Self:
        """Take the statistics of raw features, (n, num_columns) or (n, channels, ...)."""
        rows = np.moveaxis(features, 1, -1).reshape(-1, features.shape[1])
        with np.errstate(invalid="ignore"):  # it ignores NaN, but divides by their number
            scaler = StandardScaler().fit(rows)
        # Equal values are a constant exactly; a standard deviation would have rounding errors. Of
        # NaN alone, both ends are NaN, and the comparison is false too.
        varies = np.fmax.reduce(rows) > np.fmin.reduce(rows)
        return cls(
            mean=np.where(varies, scaler.mean_, 0.0), scale=np.where(varies, scaler.scale_, np.inf)
        )

    def apply(self, features: Floats) -> Floats:
        """Standardise raw features; a missing value becomes the mean, which is 0 then."""
        shape = (-1, *(1,) * (features.ndim - 2))
        standardised = features - self.mean.astype(np.float32).reshape(shape)
        standardised /= self.scale.astype(np.float32).reshape(shape)
        standardised[np.isnan(standardised)] = 0
        return standardised
