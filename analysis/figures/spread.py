"""Median of every cell of a sweep with its interval or range, the misses inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pandas import DataFrame, Series

from bench.core.stats.intervals import CONFIDENCE, MIN_RUNS, median

_INTERVAL = f"{CONFIDENCE:.0%} interval of the median"
_RANGE = "range of the runs"


def bounds_words(numbers: Sequence[int] | Series) -> str:
    """What the bounds of medians are.

    Args:
        numbers: Of runs behind each of the medians, at least one.
    """
    if min(numbers) >= MIN_RUNS:
        return _INTERVAL
    if max(numbers) < MIN_RUNS:
        return _RANGE
    return f"{_INTERVAL}, {_RANGE} below {MIN_RUNS}"


def medians(runs: DataFrame, by: Sequence[str], value: str) -> DataFrame:
    """Median of each group with its bounds; a run whose value is a bound counts as infinite.

    Args:
        runs: With the columns of `by`, the value (known unless it is a bound), `bound` and `fit`.
        by: What the groups share.
        value: The column.

    Returns:
        A row for each group: `value`, `low`, `high` (an interval, or the range of fewer than six
        runs, as bench.core.stats.intervals.median gives it; missing where they are infinite, the
        last two also where there is a single run), `num_runs`, `num_reached`, `num_unfit`.
    """
    values = np.where(runs["bound"], np.inf, runs[value].astype(float))
    unfit = ~runs["fit"].to_numpy(dtype=bool)
    rows = []
    for key, places in runs.groupby(list(by), sort=True).indices.items():
        own = values[places]
        found = median(own)
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
