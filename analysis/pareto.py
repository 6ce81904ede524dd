"""Which configurations no other one beats in two metrics at once, and how sure that is."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from pandas import DataFrame, Series

from bench.core.intervals import finite

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Better = Literal["min", "max"]

NUM_RESAMPLES = 1000


def pareto_front(values: Floats, better: tuple[Better, Better]) -> Bools:
    """Which points are not dominated.

    A point is dominated by another that is at least as good in both metrics and better in one.
    Equal points do not dominate one another: all of them are on the front, or none.

    Args:
        values: Shape (n, 2). A point with a NaN is never on the front and dominates nothing. One
            that is as bad as can be in a metric (infinite where less is better: it never got there)
            is never on the front either.
        better: Which direction is better, for each metric.

    Returns:
        Shape (n,).

    Raises:
        ValueError: The shape is another one, or a direction is neither `min` nor `max`.
    """
    costs = _as_costs(values, better)
    front = np.zeros(len(costs), dtype=bool)
    usable = np.flatnonzero((costs < np.inf).all(axis=1))
    order = usable[np.lexsort((costs[usable, 1], costs[usable, 0]))]
    if not len(order):
        return front
    sorted_costs = costs[order]
    # The best second metric among points that are strictly before: of those with the same first
    # one, the first in the order has the best second, so that only its equals are not dominated.
    before = np.minimum.accumulate(sorted_costs[:, 1])
    best_before = np.concatenate([[np.inf], before[:-1]])
    leads = sorted_costs[:, 1] < best_before
    leader = np.maximum.accumulate(np.where(leads, np.arange(len(order)), -1))
    equal = (sorted_costs == sorted_costs[leader]).all(axis=1)
    front[order] = leads | equal
    return front


def _as_costs(values: Floats, better: tuple[Better, Better]) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 2:
        raise ValueError(f"values: shape {values.shape}, must be (n, 2)")
    for direction in better:
        if direction not in ("min", "max"):
            raise ValueError(f"better={direction}: must be min or max")
    signs = np.array([1.0 if direction == "min" else -1.0 for direction in better])
    costs: Floats = values * signs
    return costs


def front_probability(
    runs: DataFrame,
    x: str,
    y: str,
    better: tuple[Better, Better],
    *,
    by: str = "configuration",
    missed: Series | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> DataFrame:
    """The front of the medians of each configuration, and how probable its members are.

    The probability is the share of bootstrap resamples in which the configuration is on the front;
    runs are drawn with replacement within each configuration, both metrics of a run together. With
    one run of a configuration its point does not move, which says nothing of how sure it is.

    Args:
        runs: With both columns and the one to group by.
        x: First metric.
        y: Second metric.
        better: Which direction is better, for each.
        by: What repeats have in common.
        missed: Runs that did not reach their target, where a metric is a cost of reaching it: both
            metrics count as the worst. Aligned with the rows.
        num_resamples: Number of resamples.
        seed: Of the resampling.

    Returns:
        A row for each configuration: `by, num, num_missing, x, y, on_front, front_probability`
        (x and y under their names; missing where the median is infinite or there is none).
        num_missing counts runs without one of the metrics: they are left out of the medians.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, for the resampling.
    """
    values = runs[[x, y]].to_numpy(dtype=np.float64, na_value=np.nan)
    if missed is not None:
        worst = [np.inf if direction == "min" else -np.inf for direction in better]
        values = np.where(missed.to_numpy(dtype=bool)[:, None], worst, values)
    names, groups = [], []
    for name, places in runs.groupby(by, sort=False).indices.items():
        names.append(name)
        groups.append(values[places])
    whole = [group[~np.isnan(group).any(axis=1)] for group in groups]
    medians = np.array([_medians(group[None])[0] for group in whole]).reshape(-1, 2)
    return DataFrame(
        {
            by: names,
            "num": [len(group) for group in groups],
            "num_missing": [
                len(group) - len(kept) for group, kept in zip(groups, whole, strict=True)
            ],
            x: [finite(value) for value in medians[:, 0]],
            y: [finite(value) for value in medians[:, 1]],
            "on_front": pareto_front(medians, better),
            "front_probability": _shares(whole, better, num_resamples, seed),
        }
    ).astype({x: "float64", y: "float64"})


def _shares(
    groups: list[Floats], better: tuple[Better, Better], num_resamples: int, seed: int
) -> Floats:
    rng = np.random.default_rng(seed)
    medians = np.full((num_resamples, len(groups), 2), np.nan)
    for place, group in enumerate(groups):
        if len(group):
            drawn = rng.integers(0, len(group), size=(num_resamples, len(group)))
            medians[:, place] = _medians(group[drawn])
    total = np.zeros(len(groups))
    for each in medians:
        total += pareto_front(each, better)
    return total / num_resamples


def _medians(groups: Floats) -> Floats:
    """Medians along the second axis, of shape (b, n, 2); NaN for n = 0.

    Of two middle values of which one is infinite, the median is that infinity.
    """
    num = groups.shape[1]
    if not num:
        return np.full((len(groups), 2), np.nan)
    ordered = np.sort(groups, axis=1)
    low, high = ordered[:, (num - 1) // 2], ordered[:, num // 2]
    with np.errstate(invalid="ignore"):  # of two infinities, which are not used
        middle = low + (high - low) / 2
    return np.where(np.isinf(low) | (low == high), low, middle)
