"""What finding a configuration cost: all runs up to the first hit, and all of them."""

from __future__ import annotations

import numpy as np
from pandas import DataFrame, Series

from analysis.outcomes import Quantity, outcomes, reached, spent, with_target

COLUMNS = (
    "quantity",
    "label",
    "until_first_hit",
    "in_all",
    "num_until_first_hit",
    "num_runs",
    "num_unknown",
)


def search_cost(runs: DataFrame) -> DataFrame:
    """Time, joules and money of a search, failed and missed runs included.

    Args:
        runs: Of load_runs; those with a target count, in the order of their start.

    Returns:
        `COLUMNS`, a row each for `time_s` (on the runs' clocks), `time_with_launch_s` (with what
        lies before), and, for each label of joules, `energy_j` and `cost_usd`. until_first_hit is
        all of the runs before the first that reached its target, and that one until it did; missing
        where none did, or where the first hit is not of that label. Joules of different labels are
        never added up, nor money that they are a part of. num_unknown runs have no such cost on
        record and are not in the sums, which are then too small.
    """
    searched = with_target(runs).sort_values(["started_utc", "run_id"], kind="stable")
    if searched.empty:
        return DataFrame(columns=list(COLUMNS))
    before = searched["phases.launch_s"].fillna(0) + searched["phases.init_s"].fillna(0)
    until, whole = outcomes(searched).cost, spent(searched, "time_s")
    rows = [
        _row("time_s", None, searched, Series(until, index=searched.index), whole),
        _row(
            "time_with_launch_s",
            None,
            searched,
            before + Series(until, index=searched.index),
            before + whole,
        ),
    ]
    quantities: tuple[Quantity, ...] = ("energy_j", "cost_usd")
    for label, group in searched.groupby(_labels(searched), sort=True):
        for quantity in quantities:
            cost = Series(outcomes(group, quantity).cost, index=group.index)
            rows.append(_row(quantity, str(label), group, cost, spent(group, quantity)))
    return DataFrame(rows, columns=list(COLUMNS))


def _labels(runs: DataFrame) -> Series:
    """The label of each run; a run without one belongs to the only one there is."""
    known = runs["energy_label"].dropna().unique()
    only = known[0] if len(known) == 1 else "unlabelled"
    return runs["energy_label"].astype(object).fillna(only).astype("str")


def _row(
    quantity: str, label: str | None, runs: DataFrame, until: Series, whole: Series
) -> dict[str, object]:
    hits = np.flatnonzero(reached(runs).to_numpy())
    first = int(hits[0]) if len(hits) else None
    before = np.nan
    if first is not None:
        before = float(whole.iloc[:first].sum()) + float(until.iloc[first])
    return {
        "quantity": quantity,
        "label": label,
        "until_first_hit": before,
        "in_all": float(whole.sum()),
        "num_until_first_hit": None if first is None else first + 1,
        "num_runs": len(runs),
        "num_unknown": int(whole.isna().sum()),
    }
