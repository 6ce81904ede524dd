"""How a data module standardised its features, which undoes and redoes it for one feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureScale:
    """Statistics of the training split, by which inputs were standardised.

    Attributes:
        mean: Mean of each value of an input, in a shape that broadcasts with that of an input.
        std: Standard deviation of each, in the same shape; 1 for a constant.
        axis: The axis of an input along which features are counted: 0 for the columns of a table, 1
            for the rows of an image (c, h, w). The arrays have their full length along this axis.
        names: Names of the first features; empty if they have only numbers.
        num_features: Features that have a scale. The categories of a table, which come after its
            numbers, have none.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    axis: int
    num_features: int
    names: Sequence[str] = ()
