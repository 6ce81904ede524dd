"""Confidence intervals of shares, of medians and of ratios of medians.

An interval of a median needs six runs: at its widest, from the smallest value to the largest, it
misses the true median with probability 2^(1 - n), which is 6% for five runs and 3% for six. With
fewer runs an estimate has the range of its runs instead, and its `kind` is "range".

Values may be infinite: a run that missed its target is the worst of all, whatever it had spent. A
bound that is infinite is None. benchmarks/coverage.py simulates what each interval covers; the
results are in docs/metrics.md, "Analysis".

Of scipy, only scipy.special is imported, and where it is used: most commands end without an
interval, and the import of scipy.stats takes more than half a second.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import numpy as np

from bench.core.arrays import Floats

Bounds = tuple[float, float]

CONFIDENCE = 0.95
# The smallest number of runs whose range holds the true median with 95%.
MIN_RUNS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its bounds, and the number of runs behind it.

    Attributes:
        value: None where it is infinite or not known.
        low: Lower bound; None where there is none (a single run) or where it is infinite.
        high: Upper bound, likewise.
        num: Runs that it is made from, misses among them.
        kind: `interval` if the bounds hold the true value with the confidence; `range` if they are
            only the extremes of too few runs.
        confidence: Of an interval.
    """

    value: float | None
    low: float | None
    high: float | None
    num: int
    kind: Literal["interval", "range"] = "interval"
    confidence: float = CONFIDENCE


def share(num_hits: int, num: int) -> Estimate:
    """A share with Wilson's interval.

    Raises:
        ValueError: num is not positive, or num_hits does not lie between 0 and num.

    Source: Wilson (1927); Brown, Cai and DasGupta (2001), who recommend it for small n.
    """
    if not 0 <= num_hits <= num or num < 1:
        raise ValueError(f"{num_hits} of {num}: need 0 <= hits <= runs and at least one run")
    rate, z = num_hits / num, _two_sided_quantile(CONFIDENCE)
    middle = (rate + z**2 / (2 * num)) / (1 + z**2 / num)
    half = z / (1 + z**2 / num) * math.sqrt(rate * (1 - rate) / num + z**2 / (4 * num**2))
    # The formula gives 0 and 1 itself, but for rounding.
    low, high = middle - half if num_hits else 0.0, middle + half if num_hits < num else 1.0
    return Estimate(value=rate, low=low, high=high, num=num)


@cache
def _two_sided_quantile(confidence: float) -> float:
    """The quantile of the normal distribution that bounds an interval of this confidence."""
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


def median(values: Sequence[float] | Floats, *, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a median with its exact interval by order statistics.

    The interval reaches from the k-th smallest to the k-th largest value, with k as large as the
    binomial distribution allows. It covers at least the confidence, whatever the distribution of
    the values. How much more depends on n, since ranks are whole numbers: 0.97 for 6 runs, 0.99
    for 8.

    Args:
        values: Shape (n,), n >= 1, no NaN; infinite for a run that missed.
        confidence: Of the interval.

    Returns:
        With fewer runs than an interval needs (six for 95%), the range of the values.

    Raises:
        ValueError: There is no value, or one is NaN.

    Source: Conover, Practical Nonparametric Statistics, section 3.2; as scipy.stats.quantile_test.
    """
    ordered = np.sort(_checked(values))
    num = len(ordered)
    rank = _rank(num, confidence)
    if num < 2:
        bounds = None
    elif rank:
        bounds = float(ordered[rank - 1]), float(ordered[num - rank])
    else:
        bounds = float(ordered[0]), float(ordered[-1])
    return _estimate(middle_of(ordered), bounds, num, rank > 0, confidence)


def ratio_of_medians(
    numerator: Sequence[float] | Floats,
    denominator: Sequence[float] | Floats,
) -> Estimate:
    """Estimate median(numerator) / median(denominator) of two independent groups of runs.

    The intervals of both medians are combined on a logarithmic scale (`_combined`). For pairs, and
    for values divided by something common to both groups, errors are not independent: use
    median_of_ratios.

    Args:
        numerator: Shape (n,), n >= 1, no NaN, none negative; infinite for a run that missed.
        denominator: Shape (m,), likewise.

    Returns:
        num is the smaller of n and m. With fewer runs than an interval needs, the bounds are the
        smallest and the largest ratio of single runs. An undefined bound, of two zeros or two
        infinities, counts as 0 below and as infinite above.

    Raises:
        ValueError: There is no value, or one is NaN or negative.

    Source: Zou and Donner (2008), Construction of confidence limits about effect measures (MOVER);
        Price and Bonett (2002) for the ratio of medians on a logarithmic scale.
    """
    above, below = np.sort(_not_negative(numerator)), np.sort(_not_negative(denominator))
    num = min(len(above), len(below))
    middle, under = middle_of(above), middle_of(below)
    value = _divided(middle, under, math.nan)
    if num < 2:
        return _estimate(value, None, num, False, CONFIDENCE)
    if not _rank(num, CONFIDENCE):
        ends = _quotients((above[0], above[-1]), (below[0], below[-1]))
        return _estimate(value, ends, num, False, CONFIDENCE)
    outer, inner = _interpolated(above, CONFIDENCE), _interpolated(below, CONFIDENCE)
    if min(outer[0], inner[0]) > 0 and max(middle, under) < math.inf:
        bounds = _combined((outer[0], middle, outer[1]), (inner[0], under, inner[1]))
    else:  # no logarithm of 0: lower end over upper end, and the reverse
        bounds = _quotients(outer, inner)
    return _estimate(value, bounds, num, True, CONFIDENCE)


def median_of_ratios(
    numerator: Sequence[float] | Floats,
    denominator: Sequence[float] | Floats,
) -> Estimate:
    """Estimate the median ratio of pairs, such as two runs of one seed; the interval is exact.

    Args:
        numerator: Shape (n,), n >= 1, no NaN, none negative; infinite for a run that missed.
        denominator: The partners, shape (n,), likewise.

    Returns:
        As median. A pair of two infinities (or of two zeros) says nothing: it is not in the value,
        and counts as 0 for the lower bound and as infinite for the upper one.

    Raises:
        ValueError: The lengths differ, there is no value, or one is NaN or negative.
    """
    above, below = _not_negative(numerator), _not_negative(denominator)
    if len(above) != len(below):
        raise ValueError(f"median_of_ratios: {len(above)} and {len(below)} values; need pairs")
    pairs = list(zip(above.tolist(), below.tolist(), strict=True))
    low = median([_divided(*pair, 0.0) for pair in pairs])
    high = median([_divided(*pair, math.inf) for pair in pairs])
    ratios = [_divided(*pair, math.nan) for pair in pairs]
    known = [ratio for ratio in ratios if not math.isnan(ratio)]
    return Estimate(
        value=finite(middle_of(known)) if known else None,
        low=low.low,
        high=high.high,
        num=low.num,
        kind=low.kind,
    )


def finite(value: float) -> float | None:
    """The value, or None where it is infinite or NaN."""
    return value if math.isfinite(value) else None


def middle_of(values: Sequence[float] | Floats) -> float:
    """The median of at least one value, none of them NaN: of a few, quicker than numpy's."""
    return float(statistics.median(np.asarray(values).tolist())) + 0.0  # no -0.0


def _checked(values: Sequence[float] | Floats) -> Floats:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample):
        raise ValueError("values: need at least one")
    if np.isnan(sample).any():
        raise ValueError("values: NaN is not a value; leave it out and say how many were left out")
    return sample


def _not_negative(values: Sequence[float] | Floats) -> Floats:
    sample = _checked(values)
    if (sample < 0).any():
        raise ValueError("a ratio of medians: values must not be negative")
    return sample


@lru_cache(maxsize=4096)
def _rank(num: int, confidence: float) -> int:
    """The rank k of the lower bound of a median, from 1; 0 where there are too few runs."""
    if num < 2:
        return 0
    from scipy.special import bdtr

    # The median lies below the k-th smallest of n values if fewer than k of them lie below it: by
    # the binomial distribution, whose function bdtr is.
    below = bdtr(np.arange(num + 1), num, 0.5)
    return int(np.searchsorted(below, (1 - confidence) / 2, side="right"))


def _interpolated(ordered: Floats, confidence: float) -> Bounds:
    """Bounds of a median between two ranks, at the confidence itself rather than above it.

    Source: Hettmansperger and Sheather (1986), Confidence intervals based on interpolated order
        statistics.
    """
    num = len(ordered)
    rank = _rank(num, confidence)
    inward = _inward(num, confidence)

    def between(outer: float, inner: float) -> float:
        return outer if math.isinf(outer) else outer + inward * (inner - outer)

    return between(ordered[rank - 1], ordered[rank]), between(
        ordered[num - rank], ordered[num - rank - 1]
    )


@lru_cache(maxsize=4096)
def _inward(num: int, confidence: float) -> float:
    """How far a bound lies from its rank towards the next one inside, as a share."""
    from scipy.special import bdtr

    rank = _rank(num, confidence)
    wide, narrow = (1 - 2 * float(bdtr(k - 1, num, 0.5)) for k in (rank, rank + 1))
    excess = (wide - confidence) / (wide - narrow)
    return (num - rank) * excess / (rank + (num - 2 * rank) * excess)


def _combined(above: tuple[float, float, float], below: tuple[float, float, float]) -> Bounds:
    """Combine (low, median, high) of the numerator and of the denominator (MOVER).

    On a logarithmic scale, the distance from the ratio to its bound is the root of the sum of the
    squared distances from the medians to theirs. If one group does not vary, the interval is that
    of the other group's median, scaled; a percentile bootstrap covers only 89% to 95% there.
    """
    low, middle, high = np.log(above)
    under_low, under, under_high = np.log(below)
    down = math.hypot(middle - low, under_high - under)
    up = math.hypot(high - middle, under - under_low)
    return math.exp(middle - under - down), math.exp(middle - under + up)


def _quotients(above: Bounds, below: Bounds) -> Bounds:
    return _divided(above[0], below[1], 0.0), _divided(above[1], below[0], math.inf)


def _divided(above: float, below: float, undefined: float) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = float(np.float64(above) / np.float64(below))
    return undefined if math.isnan(quotient) else quotient


def _estimate(
    value: float, bounds: Bounds | None, num: int, is_interval: bool, confidence: float
) -> Estimate:
    low, high = bounds or (math.nan, math.nan)
    return Estimate(
        value=finite(value),
        low=finite(low),
        high=finite(high),
        num=num,
        kind="interval" if is_interval else "range",
        confidence=confidence,
    )
