"""How sure a number is: intervals of shares, of medians and of ratios of medians.

Values may be infinite: a run that missed its target is the worst of all, whatever it had spent.
A bound that is infinite is given as None. Everything random is seeded: the same values give the
same interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
NUM_RESAMPLES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its interval, from so many runs.

    Attributes:
        value: None where it is infinite or not known.
        low: Lower bound; None where there is none: fewer than two runs, or infinite.
        high: Upper bound, likewise.
        num: Runs that it is made from, misses among them.
        confidence: Of the interval.
        unbounded_frac: Share of the resamples in which the value was infinite or undefined.
    """

    value: float | None
    low: float | None
    high: float | None
    num: int
    confidence: float = CONFIDENCE
    unbounded_frac: float = 0.0


def share(num_hits: int, num: int, confidence: float = CONFIDENCE) -> Estimate:
    """A share with Wilson's interval.

    Raises:
        ValueError: num is not positive, or num_hits does not lie between 0 and num.

    Source: Wilson (1927); Brown, Cai and DasGupta (2001), who recommend it for small n.
    """
    if not 0 <= num_hits <= num or num < 1:
        raise ValueError(f"{num_hits} of {num}: need 0 <= hits <= runs and at least one run")
    interval = binomtest(num_hits, num).proportion_ci(confidence, method="wilson")
    return Estimate(
        value=num_hits / num,
        low=float(interval.low),
        high=float(interval.high),
        num=num,
        confidence=confidence,
    )


def median(
    values: Sequence[float] | Floats,
    *,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A median with its percentile bootstrap interval.

    Not scipy.stats.bootstrap: with infinite values its percentiles are not numbers, and BCa's
    correction does not exist. For few values the interval is too short: with n of them it is never
    wider than their range, which holds the true median with 1 - 2^(1 - n).

    Args:
        values: Shape (n,), n >= 1, no NaN; infinite for a run that missed.
        confidence: Of the interval.
        num_resamples: Number of resamples.
        seed: Of the resampling.

    Raises:
        ValueError: There is no value, or one is NaN.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    sample = _checked(values)
    with np.errstate(invalid="ignore"):  # the difference of two infinities, which is not used
        drawn = _medians(sample, num_resamples, np.random.default_rng(seed))
        value = float(_median(sample))
    return estimate_of(value, drawn, len(sample), confidence)


def ratio_of_medians(
    numerator: Sequence[float] | Floats,
    denominator: Sequence[float] | Floats,
    *,
    confidence: float = CONFIDENCE,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """median(numerator) / median(denominator) with its percentile bootstrap interval.

    Both are resampled on their own. A resample in which both medians are infinite (or both are 0)
    says nothing: for the lower bound it counts as 0, for the upper one as infinite.

    Args:
        numerator: Shape (n,), n >= 1, no NaN, none negative; infinite for a run that missed.
        denominator: Shape (m,), likewise.
        confidence: Of the interval.
        num_resamples: Number of resamples.
        seed: Of the resampling.

    Returns:
        num is the smaller of n and m.

    Raises:
        ValueError: There is no value, or one is NaN or negative.
    """
    above, below = _checked(numerator), _checked(denominator)
    if (above < 0).any() or (below < 0).any():
        raise ValueError("ratio_of_medians: values must not be negative")
    rng = np.random.default_rng(seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(_median(above) / _median(below))
        drawn = _medians(above, num_resamples, rng) / _medians(below, num_resamples, rng)
    return estimate_of(value, drawn, min(len(above), len(below)), confidence)


def _checked(values: Sequence[float] | Floats) -> Floats:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample):
        raise ValueError("values: need at least one")
    if np.isnan(sample).any():
        raise ValueError("values: NaN is not a value; leave it out and say how many were left out")
    return sample


def _median(values: Floats) -> Floats:
    """Medians along the last axis; infinite where one of the two middle values is."""
    num = values.shape[-1]
    lower, upper = (num - 1) // 2, num // 2
    ordered = np.partition(values, [lower, upper], axis=-1)
    middle: Floats = ordered[..., lower] + (ordered[..., upper] - ordered[..., lower]) / 2
    return np.where(np.isinf(ordered[..., upper]), np.inf, middle)


def _medians(sample: Floats, num_resamples: int, rng: np.random.Generator) -> Floats:
    return _median(sample[rng.integers(0, len(sample), size=(num_resamples, len(sample)))])


def estimate_of(value: float, drawn: Floats, num: int, confidence: float) -> Estimate:
    """A value with the percentile interval of its resamples; no interval from a single run.

    Args:
        value: Of the runs themselves.
        drawn: Of each resample, shape (num_resamples,); infinite where it has none.
        num: Runs.
        confidence: Of the interval.
    """
    low, high = percentile_bounds(drawn, confidence) if num > 1 else (None, None)
    return Estimate(
        value=finite(value),
        low=low,
        high=high,
        num=num,
        confidence=confidence,
        unbounded_frac=float(np.mean(~np.isfinite(drawn))),
    )


def percentile_bounds(drawn: Floats, confidence: float) -> tuple[float | None, float | None]:
    """The middle `confidence` of resampled values; by rank, since infinities have no midpoints.

    Args:
        drawn: Shape (b,), b >= 1; undefined ones are NaN and count against both bounds.
        confidence: Between 0 and 1.
    """
    outside = round((1 - confidence) / 2 * len(drawn), 6)  # of 5% of 100, not 4.999...
    first = min(math.floor(outside), len(drawn) - 1)
    last = len(drawn) - 1 - first
    low = np.sort(np.nan_to_num(drawn, nan=0.0, posinf=np.inf))[first]
    high = np.sort(np.nan_to_num(drawn, nan=np.inf, posinf=np.inf))[last]
    return finite(float(low)), finite(float(high))


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or NaN."""
    return value if math.isfinite(value) else None
