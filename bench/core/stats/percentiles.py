"""Percentiles of latency, and how many requests it takes to state one."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from fractions import Fraction

# MLPerf Inference states percentiles at this confidence, with tolerance 0.
_CONFIDENCE = 0.99


def percentile_floor(q: float) -> int:
    """Smallest number of samples from which MLPerf's early stopping estimates a percentile.

    MLPerf sorts n latencies and reports the t-th largest, with t as large as
    P(Binom(n, 1 - q) <= t) <= 1% allows: at 99% confidence more than t of n requests lie above the
    true percentile, which is then below the value reported. The first t that names a value is 1
    (the largest one), hence the floor is the smallest n with

        P(Binom(n, 1 - q) <= 1) = q^n + n (1 - q) q^(n - 1) <= 0.01

    which is about 6.64 / (1 - q): the mean above which a Poisson variable is at most 1 in 1% of
    cases.

    Args:
        q: The percentile as a fraction, 0 < q < 1: 0.99 for p99.

    Raises:
        ValueError: q is not strictly between 0 and 1.

    Source: MLPerf Inference, early stopping (loadgen/early_stopping.cc and results.cc, single
        stream); Reddi et al., arXiv 1911.02549.
    """
    _check(q)
    # The probability falls as n grows, and the binomial has a thinner tail than its Poisson limit,
    # for which 7 / (1 - q) is enough.
    candidates = range(2, 2 + math.ceil(7 / (1 - q)))

    def exists(n: int) -> bool:
        return q**n + n * (1 - q) * q ** (n - 1) <= 1 - _CONFIDENCE

    return candidates[bisect.bisect_left(candidates, True, key=exists)]


def latency_percentile(values_ms: Sequence[float], q: float) -> float | None:
    """The percentile of a sample by nearest rank: the ceil(q n)-th smallest value.

    The value is one that was measured, never interpolated. It is the sample's own percentile, not
    MLPerf's upper bound of it: only the least number of samples is taken from there.

    Args:
        values_ms: Latencies in milliseconds, shape (n,), in any order.
        q: The percentile as a fraction, 0 < q < 1.

    Returns:
        Milliseconds; None for fewer than percentile_floor(q) values.

    Raises:
        ValueError: q is not strictly between 0 and 1.
    """
    if len(values_ms) < percentile_floor(q):
        return None
    # As the decimal it was written as: in floating point, 0.07 * 100 lies above 7.
    rank = math.ceil(Fraction(str(q)) * len(values_ms))
    return sorted(values_ms)[rank - 1]


def _check(q: float) -> None:
    if not 0 < q < 1:
        raise ValueError(f"q={q}: must be a fraction between 0 and 1, for example 0.99 for p99")
