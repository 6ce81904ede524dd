"""The sampling error of an accuracy: how far another test split of the same size could move it.

An accuracy is a share of the samples of its split. Repeats over seeds are evaluated on the same
split, so their spread does not contain this error, and more repeats do not reduce it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pandas import DataFrame, Series

from bench.core.stats.intervals import Bounds, Estimate, share

# Qualities that are shares of the split's samples. All but the first depend on fewer samples than
# the split has, so their true error is larger than that of a plain share, which is a lower limit.
SHARES = (
    "accuracy",
    "macro_f1",
    "worst_class_recall",
    "f1",
    "worst_group_accuracy",
    "worst_group_recall",
)


def is_share(name: str) -> bool:
    """Whether a column of the runs is a quality with a sampling error: `quality_test.accuracy`."""
    part, _, leaf = name.rpartition(".")
    return part in ("quality", "quality_test") and leaf in SHARES


def num_samples(runs: DataFrame, name: str) -> Series:
    """Samples of the split that a quality was measured on, by run; NaN where not recorded.

    Args:
        runs: Of load_runs.
        name: A column for which is_share holds.
    """
    return runs[f"{name.rpartition('.')[0]}.num_samples"].astype("float64")


def sampling_bounds(value: float, num: float) -> Bounds:
    """Wilson's 95% interval of a share of this many samples.

    Args:
        value: Between 0 and 1.
        num: Samples; NaN or 0 if unknown.

    Returns:
        (value, value) if the number is unknown: the error is then unknown, not large.
    """
    if math.isnan(value) or not num >= 1:
        return value, value
    # Back from the share to a count; it was computed from one.
    interval = share(round(value * num), int(num))
    assert interval.low is not None
    assert interval.high is not None
    # Rounding to a count may leave the value just outside of the interval.
    return min(interval.low, value), max(interval.high, value)


def with_sampling_error(estimate: Estimate, num: float) -> Estimate:
    """Widen the bounds of an estimate to at least the sampling error of its value.

    Args:
        estimate: Median accuracy over runs.
        num: Samples of the split that it was measured on.

    Returns:
        For a single run, the interval is that of its sampling error.
    """
    if estimate.value is None or not num >= 1:
        return estimate
    low, high = sampling_bounds(estimate.value, num)
    return replace(
        estimate,
        low=low if estimate.low is None else min(low, estimate.low),
        high=high if estimate.high is None else max(high, estimate.high),
        # A single run has no range of runs: its only bounds are those of the sampling error.
        kind="interval" if estimate.num == 1 else estimate.kind,
    )


def least_num(nums: Sequence[float] | Series) -> float:
    """The smallest known number of samples, which has the largest error; NaN if none is known."""
    known = np.asarray(nums, dtype=np.float64)
    known = known[~np.isnan(known)]
    return float(known.min()) if len(known) else math.nan


def differs(first: float, second: float, first_num: float, second_num: float) -> bool:
    """Whether two accuracies differ by more than their sampling error, at 95%.

    Source: Newcombe (1998), Interval estimation for the difference between independent proportions,
        method 10. It assumes independent splits. Two models on one split find the same samples
        hard, which makes the true error of the difference smaller: the test is on the safe side.
    """
    (more, more_num), (less, less_num) = sorted(
        ((first, first_num), (second, second_num)), reverse=True
    )
    # Only the ends that face each other matter for the difference.
    least = sampling_bounds(more, more_num)[0]
    most = sampling_bounds(less, less_num)[1]
    return more - less > math.hypot(more - least, most - less)
