"""Median and interval of every cell of a sweep, the misses inside."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from pandas import DataFrame

from bench.core.intervals import Estimate, median

INTERVAL_WORDS = "95% bootstrap interval of the median"


@lru_cache(maxsize=100_000)
def _median_of(values: tuple[float, ...]) -> Estimate:
    """Several figures show the same cells: each is resampled once."""
    return median(values)


def medians(runs: DataFrame, by: Sequence[str], value: str) -> DataFrame:
    """Median of each group with its interval; a run whose value is a bound counts as infinite.

    Args:
        runs: With the columns of `by`, the value (known unless it is a bound), `bound` and `fit`.
        by: What the groups share.
        value: The column.

    Returns:
        A row for each group: `value`, `low`, `high` (missing where they are infinite, the last two
        also where there is a single run), `num_runs`, `num_reached`, `num_unfit`.
    """
    values = np.where(runs["bound"], np.inf, runs[value].astype(float))
    unfit = ~runs["fit"].to_numpy(dtype=bool)
    rows = []
    for key, places in runs.groupby(list(by), sort=True).indices.items():
        own = values[places]
        found = _median_of(tuple(own.tolist()))
        names = key if isinstance(key, tuple) else (key,)
        rows.append(
            {
                **dict(zip(by, names, strict=True)),
                value: found.value,
                "low": found.low,
                "high": found.high,
                "num_runs": len(own),
                "num_reached": int(np.isfinite(own).sum()),
                "num_unfit": int(unfit[places].sum()),
            }
        )
    numbers = [value, "low", "high"]
    return DataFrame(rows).astype(dict.fromkeys(numbers, "float64"))
