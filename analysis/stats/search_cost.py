"""What it cost to find a configuration: all runs up to the first hit, and all runs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pandas import DataFrame, Series, concat

from analysis.load.joules import COST_BASIS, ELECTRICITY
from analysis.load.values import with_only
from analysis.stats.outcomes import outcomes, reached, refused, spent, with_target
from analysis.stats.peers import peer_groups
from bench.core.metric import Quantity

COLUMNS = (
    "peer_group",
    "quantity",
    "label",
    "components",
    "until_first_hit",
    "in_all",
    "num_until_first_hit",
    "num_unknown_until_first_hit",
    "num_runs",
    "num_unknown",
)


def search_cost(runs: DataFrame) -> DataFrame:
    """Add up time, joules and money of a search, over all its runs.

    That includes failed, missed, interrupted and repeated runs, but not refused ones, which
    measured nothing.

    Args:
        runs: Of load_runs, in the order of their start; runs without a target are ignored.

    Returns:
        `COLUMNS`. For each target, data set and kind of host (`peer_group` tells them apart), a row
        each for `time_s` (on the runs' clocks), `time_with_launch_s` (with launch and set-up), and,
        for each label and set of parts, `energy_j` and `cost_usd`. until_first_hit is the cost of
        the first run that hit, until it did, and of all runs before it; missing if none did. Joules
        of different labels or parts are never added up, nor is money for different things.
        num_unknown runs recorded no such cost; the sums omit them and are then lower bounds. A sum
        without any known cost is missing.
    """
    rows = [
        row
        for group in peer_groups(runs, only=runs["target.metric"].notna() & ~refused(runs))
        for row in _rows(with_target(group.runs), group.title)
    ]
    return DataFrame(rows, columns=list(COLUMNS))


def _rows(runs: DataFrame, title: str) -> Iterator[dict[str, object]]:
    until, whole = _until(runs, "time_s"), spent(runs, "time_s")
    yield _row(runs, until, whole, peer_group=title, quantity="time_s")
    # Missing if either is: a sum of the known part would look complete.
    before: Series = runs["phases.launch_s"].astype("float64") + runs["phases.init_s"]
    name = "time_with_launch_s"
    yield _row(runs, before + until, before + whole, peer_group=title, quantity=name)
    # A run that failed early has no label, but its time was spent in the same search.
    label, parts = _filled(runs["energy_label"]), _filled(runs["energy_components"])
    yield from _rows_by_kind(runs, "energy_j", label, parts, title)
    basis = _filled(runs[COST_BASIS])
    metered = basis.str.contains(ELECTRICITY)
    paid_for = basis.where(~metered | (label == ""), basis + ", " + label)
    # Without a price there is no money to add up, not an unknown amount of it.
    priced = runs[runs[COST_BASIS].notna()]
    yield from _rows_by_kind(priced, "cost_usd", paid_for, parts.where(metered, ""), title)


def _rows_by_kind(
    runs: DataFrame, quantity: Quantity, label: Series, parts: Series, title: str
) -> Iterator[dict[str, object]]:
    """A row for each way in which joules were obtained, or for each thing that money is for."""
    kinds = [label[runs.index], parts[runs.index]]
    for (name, components), part in runs.groupby(kinds, sort=True):
        facts = {"peer_group": title, "quantity": quantity}
        kind = {"label": name or None, "components": components or None}
        yield _row(part, _until(part, quantity), spent(part, quantity), **facts, **kind)


def _until(runs: DataFrame, quantity: Quantity) -> Series:
    return Series(outcomes(runs, quantity).cost, index=runs.index)


def _filled(values: Series) -> Series:
    """Fill in missing values with the only known one, or an empty text if there are several."""
    return with_only(values).fillna("").astype(str)


def _row(runs: DataFrame, until: Series, whole: Series, **facts: object) -> dict[str, object]:
    hits = np.flatnonzero(reached(runs).to_numpy())
    first = int(hits[0]) if len(hits) else None
    # Every earlier run was paid in full; of the first hit only the part until it hit.
    parts = None if first is None else concat([whole.iloc[:first], until.iloc[[first]]])
    return {
        **facts,
        "until_first_hit": np.nan if parts is None else float(parts.sum(min_count=1)),
        "in_all": float(whole.sum(min_count=1)),
        "num_until_first_hit": None if parts is None else len(parts),
        "num_unknown_until_first_hit": None if parts is None else int(parts.isna().sum()),
        "num_runs": len(runs),
        "num_unknown": int(whole.isna().sum()),
    }
