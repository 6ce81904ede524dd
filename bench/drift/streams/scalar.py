"""The number of each sample that decides where its input lies: it depends on the input alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from bench.config.maintain import DriftConfig
from bench.core.printable import printable
from bench.drift.columns import find_column
from bench.drift.preprocessing import Preprocessing
from bench.drift.samples import Index, Pool

# Share of the samples by which a region may differ from what its quantiles say.
_REGION_TOLERANCE = 0.1


def input_scalar(pool: Pool, initial: Index, feature: Any) -> NDArray[np.float64]:
    """Compute a number of each input whose mean is 0 and whose deviation is 1.

    Args:
        pool: All samples.
        initial: Places of the initial samples, from which all statistics come.
        feature: A column by name or number; None is the first principal component.

    Returns:
        Of each sample of the pool, (n,).

    Raises:
        ValueError: There is no such column, or it is constant.
    """
    features = pool.samples.features
    if feature is not None:
        features = features[:, [find_column("drift.feature", feature, pool)]]
    preprocessing = Preprocessing.fit(features[initial])
    values = preprocessing.apply(features).reshape(len(features), -1)
    if not values[initial].any():  # a constant is 0 after preprocessing
        raise ValueError(
            f"drift.feature={_shown(feature)}: is the same in all initial samples, so "
            "nothing can depend on it; choose another one"
        )
    if feature is None:
        component = PCA(1, svd_solver="covariance_eigh").fit(values[initial])
        values = component.transform(values)
    scaler = StandardScaler().fit(values[initial])
    standardised: NDArray[np.float64] = scaler.transform(values)[:, 0].astype(np.float64)
    return standardised


def region_of(scalar: NDArray[np.float64], initial: Index, drift: DriftConfig) -> NDArray[np.bool_]:
    """Find the samples between two quantiles of a scalar, both ends included.

    Beyond the quantiles 0 and 1 of the initial samples, there are other samples in the pool: a
    region that begins or ends there has no end.

    Args:
        scalar: Of each sample of the pool, (n,).
        initial: Places of the initial samples, which the quantiles are taken from.
        drift: Names the quantiles.

    Returns:
        Whether each sample is in the region, (n,).

    Raises:
        ValueError: So many samples have the same value that the region is another one.
    """
    low, high = np.quantile(scalar[initial], drift.region)
    low = low if drift.region[0] > 0 else -np.inf
    high = high if drift.region[1] < 1 else np.inf
    in_region: NDArray[np.bool_] = (scalar >= low) & (scalar <= high)
    share, wanted = in_region[initial].mean(), drift.region[1] - drift.region[0]
    if abs(share - wanted) > _REGION_TOLERANCE:
        raise ValueError(
            f"drift.region={drift.region}: many samples have the same value of "
            f"drift.feature={_shown(drift.feature)}, so the region holds {share:.0%} of the "
            "initial samples; choose other quantiles or another feature"
        )
    return in_region


def _shown(feature: Any) -> str:
    return "null" if feature is None else printable(feature)
