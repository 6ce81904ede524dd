"""The least joules with at most some percent more time than the fastest configuration.

Of the configurations whose median time to the target is within a share of the shortest one, it is
the one with the least median of joules. With few or scattered runs, chance decides which one that
is: the intervals say which others it cannot be told apart from.

Source: the selection of Zeus's power limits (ml.energy/zeus, MaxSlowdownConstraint), for any
configurations and with intervals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pandas import DataFrame, Series

from analysis.stats.repeats import KEYS
from analysis.stats.summary import as_estimate
from bench.core.stats.intervals import MIN_RUNS, Estimate

TIME, ENERGY = "time_to_target_s", "energy_to_target_j"  # of analysis.stats.table_columns
MORE_TIME_FRACS = (0.0, 0.05, 0.1, 0.2)
_GROUP = ("command", "peer_group", "label", "components")


def least_energy(summary: DataFrame) -> DataFrame:
    """Choose the configuration with the least joules for each share of more time.

    Args:
        summary: Of analysis.stats.summary.summarise.

    Returns:
        A row for each group of peers with two configurations or more that mostly reach the target
        and have joules of one label and of the same parts, and for each of MORE_TIME_FRACS:
        `command`, `peer_group`, `label`, `components`, `more_time_frac`, `configuration`, `host`,
        `time` and `energy` (an Estimate, seconds and joules), `time_ratio` and `energy_ratio`
        (medians, to those of the fastest), `alike` (names of the configurations that could be the
        one as well; None if a configuration has too few runs for an interval).
    """
    both = _both(summary)
    rows = [
        {**dict(zip(_GROUP, key, strict=True)), **row}
        for key, group in both.groupby(list(_GROUP), sort=False, dropna=False)
        if len(group) > 1
        for row in _chosen(group)
    ]
    names = ("more_time_frac", "configuration", "host", "time", "energy")
    more = ("time_ratio", "energy_ratio", "alike")
    return DataFrame(rows, columns=[*_GROUP, *names, *more])


def _both(summary: DataFrame) -> DataFrame:
    """The configurations with finite medians of time and joules, with `time` and `energy`."""
    is_cost = (summary["statistic"] == "to_target") & summary["value"].notna()
    times = _with_estimates(summary[is_cost & (summary["metric"] == TIME)], "time")
    joules = _with_estimates(summary[is_cost & (summary["metric"] == ENERGY)], "energy")
    return joules.merge(times[[*KEYS, "time"]], on=list(KEYS))


def _with_estimates(rows: DataFrame, name: str) -> DataFrame:
    estimates = [as_estimate(row) for row in rows.to_dict("records")]
    return rows.assign(**{name: Series(estimates, index=rows.index, dtype=object)})


def _chosen(group: DataFrame) -> list[dict[Any, Any]]:
    times_s, energies_j = (_values(group[name]) for name in ("time", "energy"))
    fastest = int(np.lexsort((energies_j, times_s))[0])
    rows: list[dict[Any, Any]] = []
    for frac in MORE_TIME_FRACS:
        limit_s = (1 + frac) * times_s[fastest]
        allowed = np.flatnonzero(times_s <= limit_s)
        best = int(allowed[np.argmin(energies_j[allowed])])
        rows.append(
            {
                "more_time_frac": frac,
                **group.iloc[best][["configuration", "host", "time", "energy"]].to_dict(),
                "time_ratio": times_s[best] / times_s[fastest],
                "energy_ratio": energies_j[best] / energies_j[fastest],
                "alike": _alike(group, best, fastest, frac),
            }
        )
    return rows


def _values(estimates: Series) -> Any:
    return np.array([each.value for each in estimates], dtype=float)


def _alike(group: DataFrame, best: int, fastest: int, frac: float) -> list[str] | None:
    """Other configurations that by their intervals may be fast enough and take no more joules."""
    estimates: list[Estimate] = [*group["time"], *group["energy"]]
    if min(each.num for each in estimates) < MIN_RUNS:
        return None
    limit_s = (1 + frac) * _high(group["time"].iloc[fastest])
    most_j = _high(group["energy"].iloc[best])
    return [
        str(row["configuration"])
        for place, row in enumerate(group.to_dict("records"))
        if place != best and _low(row["time"]) <= limit_s and _low(row["energy"]) <= most_j
    ]


def _low(estimate: Estimate) -> float:
    return -np.inf if estimate.low is None else estimate.low


def _high(estimate: Estimate) -> float:
    return np.inf if estimate.high is None else estimate.high
