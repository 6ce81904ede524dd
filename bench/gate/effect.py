"""How much worse a candidate is: values comparable across seeds, the loss, and the ratio.

A loss is a share of the base's median, positive for worse whatever the direction of the metric. A
miss is infinite, so a loss may be too; it is NaN where nothing can be said.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bench.core.intervals import Estimate, ratio_of_medians
from bench.gate.model import Better, Samples

Floats = npt.NDArray[np.float64]

ROUNDING = 1e-9  # a loss of 5% is one of at least 5%, however it was rounded


def aligned(samples: Samples) -> tuple[Floats, Floats]:
    """The values of both sides with the differences between strata taken out.

    Each is divided by the median of its stratum over both sides: the same whichever run is on
    which side, so that the rank test within strata stays exact. With one stratum, or with zeros
    among the values, they are left as they are.

    Returns:
        Base and candidate, in the order of the samples; misses stay infinite.

    Source: Hodges and Lehmann (1962), Rank methods for combination of independent experiments.
    """
    values = np.concatenate([samples.base, samples.candidate])
    strata = np.concatenate([samples.base_strata, samples.candidate_strata])
    hit = np.isfinite(values)
    present = np.unique(strata)
    if len(present) > 1 and (values[hit] > 0).all():
        for stratum in present[np.isin(present, strata[hit])]:
            inside = strata == stratum
            values[inside] /= np.median(values[inside & hit])
    return values[: len(samples.base)], values[len(samples.base) :]


def loss_of(base: Floats, candidate: Floats, better: Better) -> float:
    """How much worse the candidate's median is, as a share of the base's; negative for better.

    Args:
        base: Shape (n,), n >= 1, none negative but for an infinite miss.
        candidate: Shape (m,), likewise.
        better: Which direction is better.

    Returns:
        Infinite where one median is, or where the base's is 0. Where both are infinite, the side
        that missed more often is infinitely worse; NaN if neither did.
    """
    middle, other = float(np.median(base)), float(np.median(candidate))
    if math.isinf(middle) and math.isinf(other):
        more = float(np.mean(np.isinf(candidate)) - np.mean(np.isinf(base)))
        return math.copysign(math.inf, more) if more else math.nan
    if middle == other:
        return 0.0
    sign = 1 if better == "min" else -1
    if middle == 0 or math.isinf(middle) or math.isinf(other):
        return math.copysign(math.inf, sign * (other - middle))
    return sign * (other / middle - 1)


def ratio(base: Floats, candidate: Floats) -> Estimate:
    """The candidate's median over the base's, with its interval; a rate that missed counts as 0.

    Args:
        base: Aligned values, shape (n,).
        candidate: Aligned values, shape (m,).
    """
    if not base.any() and not candidate.any():  # 0/0 is not a number, yet the sides are equal
        base, candidate = np.ones_like(base), np.ones_like(candidate)
    return ratio_of_medians(np.maximum(candidate, 0), np.maximum(base, 0))
