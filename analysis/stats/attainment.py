"""The share of all (run, rung) pairs that are reached by a time: many ladders in one curve."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pandas import DataFrame

Cost = Literal["time_s", "energy_j", "samples"]


def target_ecdf(ladder: DataFrame, runs: DataFrame, cost: Cost = "time_s") -> DataFrame:
    """Compute the empirical distribution over rungs and runs, by configuration.

    A rung that a run never reached stays in the denominator, whether the run missed or failed. So
    the curve ends at the share of pairs that were ever reached.

    Args:
        ladder: Of load_ladder.
        runs: Of load_runs: `run_id`, `configuration`.
        cost: Of the ladder's columns. Joules have labels: give runs of one label.

    Returns:
        `configuration, <cost>, solved_frac, num_runs, num_pairs`; a row for each cost at which a
        pair was reached. A configuration that reached nothing has one row, with a missing cost and
        a share of 0.

    Source: Hansen et al., "COCO: performance assessment", arXiv 1605.03560, section 5 (runtime
        distributions over targets).
    """
    # A run that occurred twice would count its rungs twice, so that is an error.
    named = ladder.merge(runs[["run_id", "configuration"]], on="run_id", validate="many_to_one")
    rows = []
    for configuration, group in named.groupby("configuration", sort=False):
        solved = group.loc[group["reached"].astype(bool), cost].dropna()
        costs, counts = np.unique(solved.to_numpy(dtype=np.float64), return_counts=True)
        facts = {
            "configuration": configuration,
            "num_runs": group["run_id"].nunique(),
            "num_pairs": len(group),
        }
        # Without a row, a configuration that reached nothing would vanish from the figure.
        if not len(costs):
            rows.append({**facts, cost: np.nan, "solved_frac": 0.0})
        for each, total in zip(costs, np.cumsum(counts), strict=True):
            rows.append({**facts, cost: float(each), "solved_frac": total / len(group)})
    columns = ["configuration", cost, "solved_frac", "num_runs", "num_pairs"]
    return DataFrame(rows, columns=columns)
